import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readInstance } from '../../src/standalone/instance.ts';
import { eventually } from '../support/eventually.ts';
import {
  noTraces,
  programs,
  stillRunning,
  tracesOf,
  withWords,
  type Traces,
} from '../support/instance-traces.ts';
import { shellPod } from '../support/shell-pod.ts';
import { hostState, type HostState } from '../support/host-state.ts';
import { bundle, examples, run, standaloneInstance } from '../support/standalone.ts';
import { tellOnFailure } from '../support/tell-on-failure.ts';

// The main job as a person runs it: the built bundle, one instance, real Ceph. The tests are one story and
// build on each other.

const dataDir = '/var/lib/hf-e2e-main';
const instance = standaloneInstance(dataDir);
tellOnFailure(instance);
const { kubectl, kubectlOutcome, holdfast } = instance;
const canary = `hf-e2e-${randomBytes(6).toString('hex')}`;
const canaries = ['/root', '/opt', '/var/tmp', '/usr/local', '/home'].map((folder) => join(folder, canary));
const readerReady = ['wait', '--for=condition=Ready', 'pod/holdfast-demo-reader', '--timeout=90s'];

let hostBefore: HostState;
let running: Traces;

const portOf = (socket: string) => Number.parseInt(socket.split(':').at(-1) ?? '', 16);
async function instancePorts(): Promise<Set<number>> {
  const config = (await readInstance(dataDir))?.config;
  if (!config) throw new Error('there is no instance');
  return new Set([config.apiPort, config.etcdPort, config.etcdPeerPort]);
}

const instanceId = async () => (await readInstance(dataDir))?.config.id ?? '';
const traces = async () => await tracesOf(dataDir, await instanceId());
const words = (text: string) => text.trim().split(/\s+/);
const json = async <T>(...args: string[]) => JSON.parse(await kubectl(...args, '-o', 'json')) as T;
const toolbox = (...command: string[]) =>
  kubectl('-n', 'rook-ceph', 'exec', 'deploy/rook-ceph-tools', '--', ...command);

async function clusterReady(limitMs: number): Promise<number> {
  return await eventually('Ceph Ready and healthy', limitMs, async () => {
    const form = 'jsonpath={.status.phase} {.status.ceph.health}';
    const text = await kubectl('-n', 'rook-ceph', 'get', 'cephcluster', 'rook-ceph', '-o', form);
    return text === 'Ready HEALTH_OK' && (await toolbox('ceph', 'health')).startsWith('HEALTH_OK');
  });
}

beforeAll(async () => {
  await instance.purge(); // What a run that was killed left behind.
  hostBefore = await hostState();
  for (const path of canaries) await writeFile(path, 'of the host');
});
afterAll(async () => {
  for (const path of canaries) await rm(path, { force: true });
  await instance.purge();
});

/** Resolves once the output names the step; a step is named when it begins. */
async function says(output: Readable, step: string): Promise<void> {
  const begun = new RegExp(`^ +${step}$`, 'm');
  let text = '';
  for await (const part of output.iterator({ destroyOnReturn: false })) {
    text += String(part);
    if (begun.test(text)) return;
  }
}

/** Ctrl-C when `interrupt` resolves; answers the exit code. */
async function upInterrupted(interrupt: (output: Readable) => Promise<unknown>): Promise<number | null> {
  const args = [bundle, 'up', '--data-dir', dataDir];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = new Promise<number | null>((done) => child.once('close', done));
  await Promise.race([interrupt(child.stdout), ended]);
  child.stdout.resume();
  child.kill('SIGINT');
  return await ended;
}

test('Ctrl-C during up, at any moment, leaves what the next up completes', async () => {
  // null where the signal comes before Node can take it; else 130, as shells say it.
  for (const afterMs of [40, 150]) expect([null, 130]).toContain(await upInterrupted(() => sleep(afterMs)));
  for (const step of ['Machine', 'Files', 'Processes', 'API', 'Operator and CSI definitions'])
    expect(await upInterrupted((output) => says(output, step)), step).toBe(130);
  // What is left by now may be done before the signal comes.
  expect([130, 0]).toContain(await upInterrupted((output) => says(output, 'Node')));
});

test('up twice at once makes one instance', async () => {
  const ends = await Promise.all([holdfast('up'), holdfast('up')]);
  expect(ends.map(({ code, stderr }) => ({ code, stderr }))).toEqual([
    { code: 0, stderr: '' },
    { code: 0, stderr: '' },
  ]);
  const { processes, links, cgroups } = await traces();
  for (const role of ['supervisor', 'server', 'node'])
    expect(withWords(processes, role), role).toHaveLength(1);
  for (const name of ['etcd', 'containerd']) expect(programs(processes, name), name).toHaveLength(1);
  expect(links).toHaveLength(1);
  expect(cgroups.length).toBeGreaterThan(0);
  expect((await stat(dataDir)).mode & 0o777).toBe(0o700);
  const ports = await instancePorts();
  const own = [...(await hostState()).ports].filter((port) => ports.has(portOf(port)));
  expect(own.length).toBeGreaterThanOrEqual(4); // The API on loopback and fabric, etcd, its peer port.
  for (const socket of own) expect(socket).not.toMatch(/^0+:/); // None to the world.
});

test('up comes to its end though nobody reads what it says, as with `| head`', async () => {
  const child = spawn(process.execPath, [bundle, 'up', '--data-dir', dataDir]);
  for (const stream of [child.stdout, child.stderr]) stream.destroy();
  expect(await new Promise((done) => child.once('close', done))).toBe(0);
});

test('the demo runs: Ceph healthy, a pod writes, a second one verifies', async () => {
  const ended = await holdfast('demo');
  expect(ended).toMatchObject({ code: 0, stderr: '' });
  expect(ended.stdout).toContain('demo.bin: OK');
  expect(ended.stdout).toContain('Try next:');
});

test('the bytes are in Ceph, as its own tools see it', async () => {
  await kubectl('apply', '-f', join(examples, 'ceph/toolbox.yaml'));
  await kubectl('-n', 'rook-ceph', 'rollout', 'status', 'deploy/rook-ceph-tools', '--timeout=60s');
  const images = words(await toolbox('rbd', 'ls', 'replicapool'));
  expect(images).toHaveLength(1);
  expect(images[0]).toMatch(/^csi-vol-/);
  const du = JSON.parse(await toolbox('rbd', 'du', '-p', 'replicapool', '--format', 'json')) as {
    images: { name: string; provisioned_size: number; used_size: number }[];
  };
  expect(du.images[0]).toMatchObject({ name: images[0], provisioned_size: 1024 ** 3 });
  expect(du.images[0]?.used_size).toBeGreaterThanOrEqual(16 * 1024 ** 2);
  // The mgr's word on OSDs is a few seconds old.
  await eventually('each OSD has its copy', 15_000, async () => {
    const df = JSON.parse(await toolbox('ceph', 'osd', 'df', '--format', 'json')) as {
      nodes: { status: string; kb_used_data: number }[];
    };
    return (
      df.nodes.length === 3 &&
      df.nodes.every(({ status, kb_used_data }) => status === 'up' && kb_used_data >= 16 * 1024)
    );
  });
});

test('kubectl behaves as on a cluster', async () => {
  const all = 'cephclusters,cephblockpools,pvc,pv,pods,nodes,storageclasses';
  const table = await kubectl('get', all, '-A');
  for (const name of [
    'cephcluster.ceph.rook.io/rook-ceph',
    'replicapool',
    'holdfast-demo',
    'rook-ceph-block',
    'node1',
  ])
    expect(table).toContain(name);
  expect(await kubectl('get', 'cephclusters', '-A')).toMatch(/PHASE.*HEALTH[^]*Ready.*HEALTH_OK/);
  expect(await kubectl('get', 'pods')).toMatch(/READY\s+STATUS\s+RESTARTS[^]*1\/1\s+Running\s+0/);
  expect(await kubectl('get', 'pvc')).toMatch(/STATUS[^]*Bound/);
  const described = await kubectl('describe', 'pod', 'holdfast-demo-reader');
  expect(described.split('Events:')[1]).toMatch(/Scheduled[^]*Pulled[^]*Created[^]*Started/);
  expect(await kubectl('describe', 'pvc', 'holdfast-demo')).toContain('ProvisioningSucceeded');
  expect(await kubectl('explain', 'cephcluster.spec')).toMatch(/FIELDS:[^]*dataDirHostPath/);
  expect(await kubectl('explain', 'pod.spec.containers')).toContain('volumeMounts');
  expect(await kubectl('auth', 'can-i', 'create', 'cephclusters')).toContain('yes');
  expect(await kubectlOutcome(['auth', 'can-i', 'get', 'secrets', '--as', 'nobody'])).toMatchObject({
    code: 1,
    stdout: 'no\n',
  });
});

test('exec, with stdin and on a terminal, and its exit code', async () => {
  const exec = (...more: string[]) => ['exec', ...more];
  const text = randomBytes(300_000).toString('base64');
  const echoed = await kubectlOutcome(exec('-i', 'holdfast-demo-reader', '--', 'cat'), text);
  expect(echoed.code).toBe(0);
  expect(echoed.stdout === text).toBe(true);
  const failed = await kubectlOutcome(exec('holdfast-demo-reader', '--', 'sh', '-c', 'echo bad >&2; exit 7'));
  expect(failed).toMatchObject({ code: 7, stdout: '' });
  expect(failed.stderr).toContain('bad');
  const command = `stty cols 91 rows 33; '${process.execPath}' '${bundle}' kubectl exec -it holdfast-demo-reader -- sh -c 'tty; read line; for i in 1 2 3 4 5 6 7 8 9 10; do [ "$(stty size)" = "33 91" ] && break; sleep 0.2; done; stty size; echo "read <$line>"'`;
  const terminal = await run('script', ['-qec', command, '/dev/null'], {
    env: { HOLDFAST_DATA_DIR: dataDir },
    input: 'typed\n',
    timeoutMs: 30_000,
  });
  expect(terminal.stdout).toMatch(/\/dev\/pts\/\d+/);
  expect(terminal.stdout).toContain('33 91');
  expect(terminal.stdout).toContain('read <typed>');
});

const ticker = shellPod('ticker', 'for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.2; done');

test('apply, logs -f to the end of the pod, wait, delete', async () => {
  const applied = await kubectlOutcome(['apply', '-f', '-'], JSON.stringify(ticker));
  expect(applied).toMatchObject({ code: 0, stdout: 'pod/ticker created\n' });
  const again = await kubectlOutcome(['apply', '-f', '-'], JSON.stringify(ticker));
  expect(again).toMatchObject({ code: 0, stdout: 'pod/ticker unchanged\n' });
  await eventually('the pod has started', 20_000, async () => {
    const phase = await kubectl('get', 'pod', 'ticker', '-o', 'jsonpath={.status.phase}');
    return phase === 'Running' || phase === 'Succeeded';
  });
  expect(await kubectl('logs', '-f', 'ticker')).toBe(
    [1, 2, 3, 4, 5, 6, 7, 8].map((i) => `line ${i}\n`).join(''),
  );
  await kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/ticker', '--timeout=20s');
  expect(await kubectl('delete', 'pod', 'ticker')).toContain('pod "ticker" deleted');
  expect(await kubectlOutcome(['get', 'pod', 'ticker'])).toMatchObject({
    code: 1,
    stderr: 'Error from server (NotFound): pods "ticker" not found\n',
  });
});

/** Its stdin is open for the first who attaches. */
const attachable = (name: string, script: string) => {
  const pod = shellPod(name, script);
  const containers = pod.spec.containers.map((one) => ({ ...one, stdin: true, stdinOnce: true }));
  return { ...pod, spec: { ...pod.spec, containers } };
};

test('attach reaches what already runs, and its stdin ends it; port-forward carries TCP', async () => {
  const pods = [
    attachable('echo', 'echo began; while read line; do echo "got <$line>"; done; echo ended'),
    attachable('web', 'mkdir /tmp/w; echo from the pod > /tmp/w/page; exec httpd -f -p 8080 -h /tmp/w'),
  ];
  for (const pod of pods)
    expect(await kubectlOutcome(['apply', '-f', '-'], JSON.stringify(pod))).toMatchObject({ code: 0 });
  await kubectl('wait', '--for=condition=Ready', 'pod/echo', 'pod/web', '--timeout=30s');
  const attached = await kubectlOutcome(['attach', '-i', 'echo'], 'one\ntwo\n');
  expect(attached.code, attached.stderr).toBe(0);
  expect(attached.stdout).toContain('got <one>\ngot <two>\nended\n');
  await kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/echo', '--timeout=20s');

  const forward = spawn(process.execPath, [bundle, 'kubectl', 'port-forward', 'pod/web', ':8080'], {
    env: { ...process.env, HOLDFAST_DATA_DIR: dataDir },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((done) => forward.once('close', done));
  try {
    const port = await new Promise<string>((done, fail) => {
      forward.once('close', () => fail(new Error('port-forward ended')));
      forward.stdout.on('data', (text: Buffer) => {
        const found = /127\.0\.0\.1:(\d+) -> 8080/.exec(text.toString())?.[1];
        if (found) done(found);
      });
    });
    const fetchPage = async () => await (await fetch(`http://127.0.0.1:${port}/page`)).text();
    // Several at once over the one tunnel, and again on a new connection.
    expect(await Promise.all([fetchPage(), fetchPage(), fetchPage()])).toEqual(
      Array(3).fill('from the pod\n'),
    );
    expect(await fetchPage()).toBe('from the pod\n');
  } finally {
    forward.kill('SIGTERM');
    await ended;
  }
  await kubectl('delete', 'pod', 'echo', 'web');
});

test('who is not root is told so, and not that there is nothing', async () => {
  for (const verb of ['status', 'logs', 'kubeconfig', 'demo']) {
    const args = ['--reuid=65534', '--clear-groups', process.execPath, bundle, verb, '--data-dir', dataDir];
    const { code, stderr } = await run('setpriv', args);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `holdfast: ${dataDir} is root's alone: run holdfast as root, or with sudo\n`,
    });
  }
});

test('no file of the host shows in a pod, not even in one that sees all of its node', async () => {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'looker', namespace: 'default' },
    spec: {
      restartPolicy: 'Never',
      hostPID: true,
      hostNetwork: true,
      containers: [
        {
          name: 'main',
          image: 'busybox',
          securityContext: { privileged: true },
          command: [
            'sh',
            '-c',
            `find /node /proc/1/root -name proc -prune -o -name sys -prune -o \\( -name ${canary} -o -name instance.json -o -name etcd-client.key \\) -print; ls /node/var/lib; cat /proc/1/mountinfo`,
          ],
          volumeMounts: [{ name: 'node', mountPath: '/node' }],
        },
      ],
      volumes: [{ name: 'node', hostPath: { path: '/' } }],
    },
  };
  expect(await kubectlOutcome(['apply', '-f', '-'], JSON.stringify(pod))).toMatchObject({ code: 0 });
  await kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/looker', '--timeout=60s');
  const seen = await kubectl('logs', 'looker');
  expect(seen).toContain('kubelet'); // It has looked at its node.
  expect(seen).not.toContain(canary);
  expect(seen).not.toContain('instance.json');
  expect(seen).not.toContain('.key');
  await kubectl('delete', 'pod', 'looker');
});

test('a second up finds everything, changes nothing, and answers fast', async () => {
  const before = await traces();
  const startedMs = performance.now();
  expect(await holdfast('up')).toMatchObject({ code: 0, stderr: '' });
  const tookMs = performance.now() - startedMs;
  console.log(`second up: ${Math.round(tookMs)} ms`);
  expect(tookMs).toBeLessThan(6000);
  const pids = ({ processes }: Traces) =>
    ['supervisor', 'server', 'node', 'operator', 'mounter'].map((role) =>
      withWords(processes, role).map(({ pid }) => pid),
    );
  expect(pids(await traces())).toEqual(pids(before));
  expect((await holdfast('status')).code).toBe(0);
});

test('down leaves no process, loop, mount, link, route or cgroup', async () => {
  running = await traces();
  expect(running.processes.length).toBeGreaterThan(30);
  expect(running.loops.length).toBeGreaterThanOrEqual(4); // Three disks and the attached volume.
  const id = await instanceId();
  const startedMs = performance.now();
  expect(await holdfast('down')).toMatchObject({ code: 0, stderr: '' });
  console.log(`down: ${Math.round(performance.now() - startedMs)} ms`);
  expect(await tracesOf(dataDir, id)).toEqual(noTraces);
  expect(await stillRunning(running.processes)).toEqual([]);
  expect((await holdfast('status')).code).toBe(3);
  const again = await holdfast('down');
  expect(again.code).toBe(0);
  expect(again.stdout).toContain('nothing was running');
});

test('nothing is purged while something is mounted in the data directory', async () => {
  const point = join(dataDir, 'nodes/node1/upper');
  await run('mount', ['--bind', point, point]);
  try {
    const refused = await holdfast('down', '--purge');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/upper is still mounted, so nothing was removed/);
    expect(await readInstance(dataDir)).toBeDefined();
    await stat(join(dataDir, 'etcd/member'));
  } finally {
    await run('umount', ['--', point]);
  }
});

test('up brings the same data back', async () => {
  const startedMs = performance.now();
  expect(await holdfast('up')).toMatchObject({ code: 0, stderr: '' });
  console.log(`up on existing data: ${Math.round(performance.now() - startedMs)} ms`);
  await clusterReady(100_000);
  const readyMs = performance.now() - startedMs;
  console.log(`Ceph Ready again after: ${Math.round(readyMs)} ms`);
  await kubectl(...readerReady);
  // It was started anew, and has read and verified again what the first pod wrote.
  const pod = await json<{ status: { containerStatuses: { restartCount: number }[] } }>(
    'get',
    'pod',
    'holdfast-demo-reader',
  );
  expect(pod.status.containerStatuses[0]?.restartCount).toBe(1);
  expect(await kubectl('logs', 'holdfast-demo-reader')).toBe('demo.bin: OK\n');
  const verifiedMs = performance.now() - startedMs;
  console.log(`the pod verified its file after: ${Math.round(verifiedMs)} ms`);
  // `down` let the image go in order: nobody waits half a minute for a client that will not come back.
  expect(verifiedMs - readyMs).toBeLessThan(15_000);
});

test('down --purge leaves nothing, and the machine is as it was', async () => {
  running = await traces();
  const id = await instanceId();
  const ports = await instancePorts();
  expect(await holdfast('down', '--purge')).toMatchObject({ code: 0, stderr: '' });
  await expect(stat(dataDir)).rejects.toThrow('ENOENT');
  expect(await tracesOf(dataDir, id)).toEqual(noTraces);
  expect(await stillRunning(running.processes)).toEqual([]);
  const after = await hostState();
  // Others on this machine may open ports meanwhile; what the instance had must be closed again.
  const left = [...after.ports].filter((port) => !hostBefore.ports.has(port) && ports.has(portOf(port)));
  expect({ ...after, ports: left }).toEqual({ ...hostBefore, ports: [] });
});
