import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as core from '../../src/api/core.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { NodeRig } from '../support/node-rig.ts';
import {
  forever,
  isReady,
  namespace,
  rigContainers,
  rigPods,
  shell,
  startRigWithRole,
} from '../support/rig-pods.ts';

const signal = AbortSignal.timeout(420_000);
let rig: NodeRig;
const { until, createPod, getPod, ready, inPhase, deletePod, reasons } = rigPods(() => rig, signal);
const { logOf, exec } = rigContainers(() => rig);
const tasks = async () =>
  (await rig.inside('/usr/bin/ctr', '-n', 'k8s.io', 'tasks', 'ls', '-q')).trim().split('\n').sort();
const kubelet = (...path: string[]) => join(rig.spec.folder, 'kubelet', ...path);

beforeAll(async () => {
  rig = await startRigWithRole('fe57c0df', signal);
});
afterAll(async () => {
  await rig?.close();
});

describe('the node', () => {
  test('registers, is Ready, and holds its lease', async () => {
    const node = await until('the node is Ready', async () => {
      const found = await rig.client.get(core.Nodes, { name: 'n1' }, { signal });
      return found?.status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True') && found;
    });
    expect(node.metadata.labels).toMatchObject({
      'kubernetes.io/hostname': 'n1',
      'kubernetes.io/os': 'linux',
      rig: 'yes',
    });
    expect(node.status?.addresses).toContainEqual({ type: 'InternalIP', address: rig.spec.ip });
    expect(node.status?.nodeInfo?.containerRuntimeVersion).toMatch(/^containerd:\/\/1\./);
    const lease = await rig.client.get(core.Leases, { namespace: 'kube-node-lease', name: 'n1' }, { signal });
    expect(lease?.spec?.holderIdentity).toBe('n1');
  });

  test('answers nobody but the API server on :10250', async () => {
    const { host, ...rest } = rig.api;
    const get = (tls: object) =>
      new Promise<string>((resolve) => {
        httpsRequest({ host: rig.spec.ip, port: 10_250, path: '/pods', ca: rest.ca, ...tls }, (response) =>
          resolve(String(response.statusCode)),
        )
          .on('error', (error) => resolve(error.message))
          .end();
      });
    expect(host).not.toBe(rig.spec.ip);
    expect(await get({})).toMatch(/certificate required|ECONNRESET|EPIPE|socket hang up/i);
    expect(await get({ cert: rest.cert, key: rest.key })).toBe('403'); // An admin's certificate is not enough.
  });
});

describe('pods', () => {
  test('on the node network and on their own, with init containers, logs and exec', async () => {
    await createPod('on-host', { hostNetwork: true, containers: [shell(`ip -4 -o addr; ${forever}`)] });
    await createPod('on-pods', {
      volumes: [{ name: 'data', emptyDir: {} }],
      initContainers: [
        shell('echo made > /data/file', {
          name: 'init',
          volumeMounts: [{ name: 'data', mountPath: '/data' }],
        }),
      ],
      containers: [
        shell(`cat /data/file; hostname; ${forever}`, {
          volumeMounts: [{ name: 'data', mountPath: '/data' }],
        }),
      ],
    });
    expect((await ready('on-host')).status).toMatchObject({ podIP: rig.spec.ip, phase: 'Running' });
    const pod = await ready('on-pods');
    expect(pod.status?.podIP).toMatch(/^10\.254\.88\./);
    expect(pod.status?.qosClass).toBe('BestEffort');
    await until('the log has both lines', async () => (await logOf('on-pods')) === 'made\non-pods\n');
    expect(await logOf('on-pods', '?tailLines=1')).toBe('on-pods\n');
    expect(await logOf('on-host')).toContain(`${rig.spec.ip}/24`);
    const done = await exec('on-pods', '/bin/bash', '-c', 'echo out; echo err >&2; exit 7');
    expect(done).toMatchObject({ out: 'out\n', err: 'err\n' });
    expect(done.status).toContain('"message":"7"');
    expect(await reasons('on-pods')).toEqual(
      expect.arrayContaining(['Created: Created container: main', 'Started: Started container main']),
    );
  });

  test('no file of the host is visible in a pod', async () => {
    const ours = join(rig.spec.folder, 'init.log');
    expect(existsSync(ours)).toBe(true);
    const script = `cat ${ours}; ls -A /root /home; grep -c . /proc/partitions; cut -d' ' -f5 /proc/self/mountinfo`;
    const { out, err } = await exec('on-pods', '/bin/bash', '-c', script);
    expect(err).toContain('No such file or directory');
    expect(out).toMatch(/^\/home:\n\n\/root:\n\d/);
    expect(out).not.toContain(rig.spec.folder);
  });

  test('environment, configuration, secrets, tokens and sub-paths; a changed ConfigMap arrives', async () => {
    await rig.client.create(
      core.ConfigMaps,
      { metadata: { name: 'conf', namespace }, data: { key: 'one' } },
      { signal },
    );
    const secret = {
      metadata: { name: 'sec', namespace },
      data: { word: Buffer.from('hush').toString('base64') },
    };
    await rig.client.create(core.Secrets, secret, { signal });
    const script = `echo "$NAME $IP_LENGTH $FROM $ALL_key $JOINED"; cat /sub/key; cat /sec/word; stat -Lc %a /sec/word; ${forever}`;
    await createPod('config', {
      volumes: [
        { name: 'conf', configMap: { name: 'conf' } },
        { name: 'sec', secret: { secretName: 'sec', defaultMode: 0o400 } },
      ],
      containers: [
        shell(script, {
          env: [
            { name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
            { name: 'FROM', valueFrom: { secretKeyRef: { name: 'sec', key: 'word' } } },
            { name: 'JOINED', value: '$(NAME)-$(FROM)-$(NONE)-$$(NAME)' },
          ],
          envFrom: [{ prefix: 'ALL_', configMapRef: { name: 'conf' } }],
          volumeMounts: [
            { name: 'conf', mountPath: '/conf' },
            { name: 'conf', mountPath: '/sub/key', subPath: 'key' },
            { name: 'sec', mountPath: '/sec' },
          ],
        }),
      ],
    });
    const pod = await ready('config');
    await until('the log is whole', async () => (await logOf('config')).includes('400'));
    expect(await logOf('config')).toBe('config  hush one config-hush-$(NONE)-$(NAME)\nonehush400\n');
    const token = await exec('config', '/bin/cat', '/var/run/secrets/kubernetes.io/serviceaccount/token');
    const claims = JSON.parse(Buffer.from(token.out.split('.')[1] ?? '', 'base64url').toString()) as {
      sub: string;
      'kubernetes.io': { pod: { uid: string } };
    };
    expect(claims.sub).toBe('system:serviceaccount:default:default');
    expect(claims['kubernetes.io'].pod.uid).toBe(pod.metadata.uid);

    const change = { type: 'merge' as const, body: { data: { key: 'two' } } };
    await rig.client.patch(core.ConfigMaps, { namespace, name: 'conf' }, change, { signal });
    await until(
      'the file says two',
      async () => (await exec('config', '/bin/cat', '/conf/key')).out === 'two',
      5_000,
    );
    await deletePod('config');
    expect(existsSync(kubelet('pods', pod.metadata.uid))).toBe(false);
  });

  test('what is missing is said, and mended as soon as it is there', async () => {
    await createPod('waits', {
      volumes: [{ name: 'v', configMap: { name: 'late' } }],
      containers: [shell(forever, { volumeMounts: [{ name: 'v', mountPath: '/v' }] })],
    });
    await until('the event says so', async () =>
      (await reasons('waits')).some((one) => one.includes('configmap "late" not found')),
    );
    await createPod('unknown', { containers: [shell(forever, { image: 'no.such/image:1' })] });
    const waiting = await until('the pull is backed off', async () => {
      const state = (await getPod('unknown'))?.status?.containerStatuses?.[0]?.state?.waiting;
      return state?.reason === 'ImagePullBackOff' && state;
    });
    expect(waiting.message).toContain('not in the image table');
    await rig.client.create(core.ConfigMaps, { metadata: { name: 'late', namespace }, data: {} }, { signal });
    await ready('waits', 5_000);
    await deletePod('waits');
    await deletePod('unknown');
  });

  test('crashes, memory limits and last words show as Kubernetes shows them', async () => {
    const eat = 'x=$(head -c 200m /dev/zero | tr "\\0" x); sleep 60';
    await createPod('crash', {
      containers: [
        shell('echo sorry > /dev/termination-log; exit 3'),
        shell(eat, { name: 'greedy', resources: { limits: { memory: '48Mi' } } }),
      ],
    });
    const pod = await until('both are in a crash loop', async () => {
      const found = await getPod('crash');
      const waiting = found?.status?.containerStatuses?.map((one) => one.state?.waiting?.reason);
      return waiting?.length === 2 && waiting.every((one) => one === 'CrashLoopBackOff') && found;
    });
    const last = (name: string) =>
      pod.status?.containerStatuses?.find((one) => one.name === name)?.lastState?.terminated;
    expect(last('main')).toMatchObject({ exitCode: 3, reason: 'Error', message: 'sorry\n' });
    expect(last('greedy')).toMatchObject({ exitCode: 137, reason: 'OOMKilled' });
    expect(isReady(pod)).toBe(false);
    expect(await logOf('crash', '?container=main&previous=true')).toBe('');
    await deletePod('crash');
  });

  test('a pod that runs once ends Succeeded or Failed, and is left so', async () => {
    await createPod('good', { restartPolicy: 'Never', containers: [shell('exit 0')] });
    await createPod('bad', { restartPolicy: 'Never', containers: [shell('exit 5')] });
    await inPhase('good', 'Succeeded');
    const bad = await inPhase('bad', 'Failed');
    expect(bad.status?.containerStatuses?.[0]?.state?.terminated?.exitCode).toBe(5);
    await deletePod('good');
    await deletePod('bad');
  });

  test('probes: readiness gates traffic, liveness restarts', async () => {
    await createPod('probed', {
      containers: [
        shell(`touch /live; ${forever}`, {
          // An exec on a busy machine takes longer than the second that a probe has by default.
          readinessProbe: { exec: { command: ['/bin/cat', '/ready'] }, periodSeconds: 1, timeoutSeconds: 10 },
          livenessProbe: {
            exec: { command: ['/bin/cat', '/live'] },
            periodSeconds: 1,
            timeoutSeconds: 10,
            failureThreshold: 2,
            initialDelaySeconds: 1,
          },
        }),
      ],
    });
    await inPhase('probed', 'Running');
    expect(isReady(await getPod('probed'))).toBe(false);
    await exec('probed', '/bin/touch', '/ready');
    await ready('probed');
    await exec('probed', '/bin/rm', '/live');
    const pod = await until('it was restarted', async () => {
      const found = await getPod('probed');
      return found?.status?.containerStatuses?.[0]?.restartCount === 1 && found;
    });
    expect(pod.status?.containerStatuses?.[0]?.lastState?.terminated).toBeDefined();
    expect(await reasons('probed')).toContainEqual(
      'Killing: Container main failed liveness probe, will be restarted',
    );
    await deletePod('probed', 1);
  });

  test('a stop runs preStop and gives its grace; force cuts it short', async () => {
    const hook = { preStop: { exec: { command: ['/bin/bash', '-c', 'echo bye > /keep/hook'] } } };
    const volumes = [{ name: 'keep', hostPath: { path: '/var/lib/rook/keep', type: 'DirectoryOrCreate' } }];
    const volumeMounts = [{ name: 'keep', mountPath: '/keep' }];
    const script = 'trap "echo term > /keep/term; exit 0" TERM; while :; do sleep 0.1; done';
    await createPod('polite', { volumes, containers: [shell(script, { lifecycle: hook, volumeMounts })] });
    await ready('polite');
    await deletePod('polite');
    const kept = join(rig.spec.folder, 'rook/keep');
    expect(readdirSync(kept).sort()).toEqual(['hook', 'term']);
    await createPod('stubborn', {
      terminationGracePeriodSeconds: 300,
      containers: [shell('trap "" TERM; while :; do sleep 1; done')],
    });
    await ready('stubborn');
    const before = Date.now();
    await rig.client.delete(core.Pods, { namespace, name: 'stubborn' }, { signal });
    await systemClock.sleep(500, signal);
    expect(await getPod('stubborn')).toBeDefined();
    await deletePod('stubborn', 0);
    await until(
      'its process is gone',
      async () => !(await rig.inside('/bin/ps', '-eo', 'args')).includes('trap "" TERM'),
      10_000,
    );
    expect(Date.now() - before).toBeLessThan(20_000);
  });
});

describe('services', () => {
  test('a ClusterIP reaches its pods from everywhere, the pod itself included; an unknown one is refused', async () => {
    const serve = `python3 -c "import http.server as h; h.HTTPServer(('',8080), h.SimpleHTTPRequestHandler).serve_forever()"`;
    await createPod('web', {
      terminationGracePeriodSeconds: 1,
      containers: [shell(serve, { readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 } })],
    });
    const pod = await ready('web');
    const service = await rig.client.create(
      core.Services,
      {
        metadata: { name: 'web', namespace },
        spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
      },
      { signal },
    );
    await rig.client.create(
      core.EndpointSlices,
      {
        metadata: { name: 'web-1', namespace, labels: { 'kubernetes.io/service-name': 'web' } },
        addressType: 'IPv4',
        endpoints: [{ addresses: [pod.status?.podIP ?? ''], conditions: { ready: true } }],
        ports: [{ port: 8080, protocol: 'TCP' }],
      },
      { signal },
    );
    const ip = service.spec?.clusterIP ?? '';
    const curl = (address: string) =>
      `curl -s -m 3 -o /dev/null -w '%{http_code}' http://${address}/ || true`;
    await until('the node reaches it', async () => (await rig.inside('/bin/bash', '-c', curl(ip))) === '200');
    expect((await exec('on-pods', '/bin/bash', '-c', curl(ip))).out).toBe('200');
    expect((await exec('on-host', '/bin/bash', '-c', curl(ip))).out).toBe('200');
    expect((await exec('web', '/bin/bash', '-c', curl(ip))).out).toBe('200');
    const refused = 7; // What curl ends with; a connection that is lost would be 28, after its 3 s.
    const unknown = `curl -s -m 3 http://10.254.89.250/; echo -n $?`;
    expect(await rig.inside('/bin/bash', '-c', unknown)).toBe(String(refused));
    await deletePod('web');
  });
});

describe('bad luck', () => {
  test('killed and started again, the role takes up what runs and doubles nothing', async () => {
    const before = await tasks();
    const pods = [await ready('on-host'), await ready('on-pods')];
    await rig.stopRole('SIGKILL');
    await rig.startRole();
    await systemClock.sleep(4_000, signal);
    expect(await tasks()).toEqual(before);
    for (const pod of pods) {
      const now = await ready(pod.metadata.name);
      expect(now.status?.containerStatuses).toEqual(pod.status?.containerStatuses);
    }
  });

  test('containerd killed and back: pods run on', async () => {
    const before = (await ready('on-pods')).status?.containerStatuses?.[0]?.containerID;
    await rig.killContainerd();
    await rig.startContainerd();
    await createPod('after', {});
    await ready('after');
    expect((await ready('on-pods')).status?.containerStatuses?.[0]).toMatchObject({
      containerID: before,
      restartCount: 0,
    });
    await deletePod('after');
  });

  test('a power cut: pods come back in new sandboxes with their data, one that runs once has failed', async () => {
    const volumes = [{ name: 'data', emptyDir: {} }];
    const volumeMounts = [{ name: 'data', mountPath: '/data' }];
    await createPod('keeps', {
      volumes,
      containers: [shell(`echo x >> /data/starts; sync; wc -l < /data/starts; ${forever}`, { volumeMounts })],
    });
    await createPod('never', { restartPolicy: 'Never' });
    await ready('keeps');
    await ready('never');
    await rig.powerCycle();
    await rig.startRole();
    const failed = await inPhase('never', 'Failed');
    expect(failed.status?.containerStatuses?.[0]?.state?.terminated).toBeDefined();
    await until('it started again', async () => (await logOf('keeps')) === '2\n');
    const pod = await ready('keeps');
    expect(pod.status?.containerStatuses?.[0]?.restartCount).toBe(1);
    await ready('on-pods');
    await deletePod('keeps');
    await deletePod('never');
  });

  test('deleted while the role was away, a pod is cleaned up with nothing left', async () => {
    const { metadata } = await ready('on-pods');
    await rig.stopRole('SIGTERM');
    await rig.client.delete(core.Pods, { namespace, name: 'on-pods' }, { signal, gracePeriodSeconds: 0 });
    await rig.startRole();
    await until('its folder is gone', async () => !existsSync(kubelet('pods', metadata.uid)));
    expect(
      readdirSync(join(rig.spec.folder, 'log/pods')).filter((name) => name.includes(metadata.uid)),
    ).toEqual([]);
  });

  test('idle, it costs less than one percent of a core', async () => {
    await systemClock.sleep(3_000, signal);
    const ticks = () => {
      const fields =
        readFileSync(`/proc/${rig.roleIdentity().pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
      return Number(fields[11]) + Number(fields[12]);
    };
    const before = ticks();
    await systemClock.sleep(20_000, signal);
    expect(ticks() - before).toBeLessThanOrEqual(20); // Hundredths of a second in 20 s.
  });
});
