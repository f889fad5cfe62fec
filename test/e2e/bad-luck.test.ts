import { systemClock } from '../../src/lib/clock.ts';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readInstance } from '../../src/standalone/instance.ts';
import { eventually } from '../support/eventually.ts';
import { programs, tracesOf, withWords, type SeenProcess } from '../support/instance-traces.ts';
import { shellPod } from '../support/shell-pod.ts';
import { examples, standaloneInstance } from '../support/standalone.ts';
import { tellOnFailure } from '../support/tell-on-failure.ts';

// kill -9, one process after the other, on one instance, while a pod writes and fsyncs without a pause. Each
// comes back by itself, the pod never sees an error, and nothing is there twice. The tests build on each other.

const dataDir = '/var/lib/hf-e2e-luck';
const instance = standaloneInstance(dataDir);
tellOnFailure(instance);
const { kubectl, kubectlOutcome, holdfast } = instance;
const found: string[] = [];

const claim = (name: string) => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name, namespace: 'default' },
  spec: {
    storageClassName: 'rook-ceph-block',
    accessModes: ['ReadWriteOnce'],
    resources: { requests: { storage: '1Gi' } },
  },
});

// A numbered line at a time, each on the disk before the next. The first error ends it for good.
const writing = `
i=0
while true; do
  i=$((i + 1))
  echo "line $i" | dd of=/data/log oflag=append conv=notrunc,fsync 2>/tmp/error || { cat /tmp/error; exit 1; }
  sleep 0.05
done`;

async function apply(...objects: readonly object[]): Promise<void> {
  const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
  const ended = await kubectlOutcome(['apply', '-f', '-'], list);
  if (ended.code !== 0) throw new Error(ended.stderr);
}

const processes = async () => {
  const id = (await readInstance(dataDir))?.config.id ?? '';
  return (await tracesOf(dataDir, id)).processes;
};

/** Every process that must be there once, or as often as `times` says. */
const census: readonly { name: string; times: number; of: (all: readonly SeenProcess[]) => SeenProcess[] }[] =
  [
    ...['supervisor', 'server', 'node', 'operator', 'mounter'].map((role) => ({
      name: role,
      times: 1,
      of: (all: readonly SeenProcess[]) => withWords(all, role),
    })),
    { name: 'csi controller', times: 1, of: (all) => withWords(all, 'csi', 'controller') },
    { name: 'csi node', times: 1, of: (all) => withWords(all, 'csi', 'node') },
    { name: 'etcd', times: 1, of: (all) => programs(all, 'etcd') },
    { name: 'containerd', times: 1, of: (all) => programs(all, 'containerd') },
    { name: 'ceph-mon', times: 3, of: (all) => programs(all, 'ceph-mon') },
    { name: 'ceph-mgr', times: 1, of: (all) => programs(all, 'ceph-mgr') },
    { name: 'ceph-osd', times: 3, of: (all) => programs(all, 'ceph-osd') },
    { name: 'qemu-storage-daemon', times: 1, of: (all) => programs(all, 'qemu-storage-daemon') },
  ];
const counted = (all: readonly SeenProcess[]) =>
  Object.fromEntries(census.map(({ name, of }) => [name, of(all).length]));
const expected = Object.fromEntries(census.map(({ name, times }) => [name, times]));

async function only(name: string): Promise<SeenProcess> {
  const one = census.find((entry) => entry.name === name)?.of(await processes())[0];
  if (!one) throw new Error(`no ${name} runs`);
  return one;
}

interface PodList {
  items: {
    metadata: { name: string; uid: string; labels?: Record<string, string> };
    status: {
      phase: string;
      conditions?: { type: string; status: string }[];
      containerStatuses?: { containerID: string; restartCount: number }[];
    };
  }[];
}
const pods = async (...args: string[]) =>
  (JSON.parse(await kubectl('get', 'pods', ...args, '-o', 'json')) as PodList).items;
const isReady = ({ status }: PodList['items'][number]) =>
  status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ?? false;

async function linesWritten(): Promise<number> {
  const last = await kubectl('exec', 'writer', '--', 'tail', '-n', '1', '/data/log');
  return Number(/^line (\d+)\n$/.exec(last)?.[1] ?? Number.NaN);
}

/** The writer goes on, in the very container that it was started in. */
async function writerGoesOn(limitMs: number): Promise<void> {
  let first = Number.NaN;
  await eventually('the writer can be asked', limitMs, async () =>
    Number.isInteger((first = await linesWritten())),
  );
  await eventually('the writer goes on', limitMs, async () => (await linesWritten()) > first);
  const [writer] = await pods('-l', 'app=writer');
  expect(writer?.status).toMatchObject({ phase: 'Running' });
  expect(writer?.status.containerStatuses?.[0]).toMatchObject({
    containerID: writerContainer,
    restartCount: 0,
  });
}

async function clusterHealthy(limitMs: number): Promise<number> {
  return await eventually('Ceph is healthy', limitMs, async () => {
    const status = JSON.parse(
      await kubectl(
        '-n',
        'rook-ceph',
        'exec',
        'deploy/rook-ceph-tools',
        '--',
        'ceph',
        '-s',
        '--format',
        'json',
      ),
    ) as { health: { status: string }; quorum: number[]; osdmap: { num_up_osds: number } };
    return (
      status.health.status === 'HEALTH_OK' && status.quorum.length === 3 && status.osdmap.num_up_osds === 3
    );
  });
}

/** A claim binds and a pod on it reads what it wrote: every part of the way works. */
async function newVolumeWorks(name: string): Promise<void> {
  await apply(
    claim(name),
    shellPod(name, 'echo hello > /data/file && sync /data/file && cat /data/file', name),
  );
  await kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', `pod/${name}`, '--timeout=60s');
  expect(await kubectl('logs', name)).toBe('hello\n');
  await kubectl('delete', 'pod', name, '--wait');
  await kubectl('delete', 'pvc', name, '--wait');
}

let writerContainer = '';
let mounterPod = '';
let loops = 0;

beforeAll(async () => {
  await instance.purge(); // What a run that was killed left behind.
  expect(await holdfast('up')).toMatchObject({ code: 0, stderr: '' });
  expect(await holdfast('demo')).toMatchObject({ code: 0, stderr: '' });
  await kubectl('delete', 'pod', 'holdfast-demo-reader', '--wait');
  await kubectl('delete', 'pvc', 'holdfast-demo', '--wait');
  await kubectl('apply', '-f', join(examples, 'ceph/toolbox.yaml'));
  const writer = shellPod('writer', writing, 'writer');
  await apply(claim('writer'), { ...writer, metadata: { ...writer.metadata, labels: { app: 'writer' } } });
  await kubectl('wait', '--for=condition=Ready', 'pod/writer', '--timeout=60s');
  await kubectl('-n', 'rook-ceph', 'rollout', 'status', 'deploy/rook-ceph-tools', '--timeout=60s');
  writerContainer = (await pods('-l', 'app=writer'))[0]?.status.containerStatuses?.[0]?.containerID ?? '';
  mounterPod = (await pods('-n', 'rook-ceph', '-l', 'app=holdfast-mounter'))[0]?.metadata.uid ?? '';
  expect([writerContainer, mounterPod]).not.toContain('');
  await eventually('the demo volume is gone', 30_000, async () => counts(await processes()));
  loops = (await tracesOf(dataDir, (await readInstance(dataDir))?.config.id ?? '')).loops.length;
});
const counts = (all: readonly SeenProcess[]) => JSON.stringify(counted(all)) === JSON.stringify(expected);

afterAll(async () => {
  console.log(['recovery after kill -9:', ...found].join('\n  '));
  await instance.purge();
});

const apiAnswers = async () => (await kubectlOutcome(['get', '--raw', '/readyz'])).code === 0;
const nodeAnswers = async () => (await kubectlOutcome(['exec', 'writer', '--', 'true'])).code === 0;
const nothing = async () => true;
// It found the daemons of the one before it, and goes on with them.
const mounterServes = async () =>
  (await kubectl('-n', 'rook-ceph', 'logs', 'ds/holdfast-mounter')).includes('mounter is up');

test.each([
  // The name, within how long it is back and serves (ms), and what shows that it serves.
  { name: 'supervisor', limitMs: 10_000, serves: async () => (await holdfast('status')).code === 0 },
  { name: 'server', limitMs: 15_000, serves: apiAnswers },
  { name: 'node', limitMs: 15_000, serves: nodeAnswers },
  { name: 'etcd', limitMs: 20_000, serves: apiAnswers },
  { name: 'containerd', limitMs: 20_000, serves: nodeAnswers },
  { name: 'operator', limitMs: 20_000, serves: nothing },
  { name: 'csi controller', limitMs: 20_000, serves: nothing },
  { name: 'csi node', limitMs: 20_000, serves: nothing },
  { name: 'mounter', limitMs: 20_000, serves: mounterServes },
  { name: 'ceph-mon', limitMs: 60_000, serves: async () => (await clusterHealthy(60_000)) > 0 },
  { name: 'ceph-osd', limitMs: 60_000, serves: async () => (await clusterHealthy(60_000)) > 0 },
])('$name comes back by itself, and the writer never notices', async ({ name, limitMs, serves }) => {
  const victim = await only(name);
  const before = await processes();
  process.kill(victim.pid, 'SIGKILL');
  const backMs = await eventually(`${name} is back`, limitMs, async () => {
    const now = await processes();
    const again = census.find((entry) => entry.name === name)?.of(now) ?? [];
    return again.every(({ identity }) => identity !== victim.identity) && counts(now);
  });
  const servesMs = await eventually(`${name} serves`, limitMs, serves);
  found.push(
    `${name.padEnd(16)} process ${Math.round(backMs)} ms, serves ${Math.round(backMs + servesMs)} ms`,
  );
  await writerGoesOn(limitMs);
  // Those that had no part in it are the very same processes as before.
  const same = ['qemu-storage-daemon', 'ceph-mgr', 'mounter', 'etcd'].filter((other) => other !== name);
  const now = await processes();
  for (const other of same) {
    const of = census.find((entry) => entry.name === other)?.of;
    expect(
      of?.(now).map(({ identity }) => identity),
      other,
    ).toEqual(of?.(before).map(({ identity }) => identity));
  }
});

test('a broker that is killed is replaced by the next call', async () => {
  // An operator or driver that was just killed may wait for its own old Lease first, 15 s at most.
  let children = withWords(await processes(), 'broker');
  for (let turn = 0; turn < 200 && children.length === 0; turn++) {
    await systemClock.sleep(200);
    children = withWords(await processes(), 'broker');
  }
  expect(children.length).toBeGreaterThanOrEqual(1);
  for (const { pid } of children) process.kill(pid, 'SIGKILL');
  const startedMs = performance.now();
  await newVolumeWorks('after-broker');
  found.push(
    `brokers          a claim, a pod and their end took ${Math.round(performance.now() - startedMs)} ms after it`,
  );
  await writerGoesOn(20_000);
});

test('mounts outlive the pods of the CSI driver, and the mounter is replaced by nobody', async () => {
  for (const app of ['csi-rbdplugin', 'csi-rbdplugin-provisioner'])
    await kubectl('-n', 'rook-ceph', 'delete', 'pod', '-l', `app=${app}`, '--wait');
  await writerGoesOn(20_000);
  const patch = JSON.stringify({ spec: { template: { metadata: { annotations: { touched: 'yes' } } } } });
  await kubectl('-n', 'rook-ceph', 'patch', 'daemonset', 'holdfast-mounter', '--type=merge', '-p', patch);
  await eventually('the pods are back', 60_000, async () => {
    const all = await pods('-n', 'rook-ceph');
    const csi = all.filter(({ metadata }) => metadata.labels?.['app']?.startsWith('csi-rbdplugin'));
    return csi.length === 2 && csi.every(isReady);
  });
  await newVolumeWorks('after-pods');
  const mounters = await pods('-n', 'rook-ceph', '-l', 'app=holdfast-mounter');
  expect(mounters.map(({ metadata }) => metadata.uid)).toEqual([mounterPod]);
  expect(mounters[0]?.status.containerStatuses?.[0]?.restartCount).toBe(1); // The kill above.
});

// Goes on after an error, as a program that retries does.
const retrying = `
i=1
while true; do
  echo "line $i" | dd of=/data/log oflag=append conv=notrunc,fsync 2>/dev/null && i=$((i + 1))
  sleep 0.05
done`;

test('a volume whose daemon is killed is healed under its pod, however the pod mounts it', async () => {
  const before = new Set(programs(await processes(), 'qemu-storage-daemon').map(({ identity }) => identity));
  const healed = shellPod('healed', retrying, 'healed');
  const [main] = healed.spec.containers;
  const volumeMounts = [
    { name: 'data', mountPath: '/data' },
    { name: 'data', mountPath: '/follows', mountPropagation: 'HostToContainer' },
    { name: 'data', mountPath: '/readonly', readOnly: true },
    { name: 'data', mountPath: '/part', subPath: 'part' },
  ];
  const raw = shellPod('raw', 'while true; do sleep 1; done', 'raw');
  const { volumeMounts: _none, ...rawMain } = raw.spec.containers[0]!;
  const rawClaim = claim('raw');
  await apply(
    claim('healed'),
    { ...healed, spec: { ...healed.spec, containers: [{ ...main, volumeMounts }] } },
    { ...rawClaim, spec: { ...rawClaim.spec, volumeMode: 'Block' } },
    {
      ...raw,
      spec: {
        ...raw.spec,
        containers: [{ ...rawMain, volumeDevices: [{ name: 'data', devicePath: '/dev/raw-data' }] }],
      },
    },
  );
  await kubectl('wait', '--for=condition=Ready', 'pod/healed', 'pod/raw', '--timeout=60s');
  const sh = (script: string, name = 'healed') => kubectlOutcome(['exec', name, '--', 'sh', '-c', script]);
  const wrote = await sh('echo kept | dd of=/dev/raw-data conv=fsync,notrunc', 'raw');
  expect(wrote).toMatchObject({ code: 0 });
  expect(await sh('echo kept > /part/file && sync /part/file')).toMatchObject({ code: 0 });
  const last = async () =>
    Number(/^line (\d+)/.exec((await sh('tail -n 1 /data/log')).stdout)?.[1] ?? Number.NaN);
  await eventually('it writes', 20_000, async () => (await last()) > 20);
  const written = await last();
  const victims = programs(await processes(), 'qemu-storage-daemon').filter(
    ({ identity }) => !before.has(identity),
  );
  expect(victims).toHaveLength(2);

  for (const { pid } of victims) process.kill(pid, 'SIGKILL');
  const healedMs = await eventually('it writes on', 20_000, async () => (await last()) > written + 20);
  found.push(
    `qemu-storage-daemon of a volume: its pod had written 20 lines more after ${Math.round(healedMs)} ms`,
  );

  const lines = (await sh('cat /data/log')).stdout.trim().split('\n');
  expect(lines.slice(0, written)).toEqual(Array.from({ length: written }, (_, at) => `line ${at + 1}`));
  expect((await sh('cat /part/file /readonly/part/file /follows/part/file')).stdout).toBe(
    'kept\nkept\nkept\n',
  );
  expect((await sh('echo x > /follows/new && cat /data/new')).stdout).toBe('x\n');
  expect((await sh('echo x > /readonly/new')).stderr).toContain('Read-only file system');
  const [now] = (await pods()).filter(({ metadata }) => metadata.name === 'healed');
  expect(now?.status.containerStatuses?.[0]?.restartCount).toBe(0);
  const log = await kubectl('-n', 'rook-ceph', 'logs', 'ds/holdfast-mounter');
  expect(log).toContain('fenced the client of a dead daemon'); // With the rights of the node's own user.
  // The block device, under the number that the pod's device file has.
  await eventually('the block device is back', 20_000, async () =>
    (await sh('dd if=/dev/raw-data iflag=direct bs=4096 count=1', 'raw')).stdout.startsWith('kept\n'),
  );
  expect(await sh('echo more | dd of=/dev/raw-data conv=fsync,notrunc', 'raw')).toMatchObject({ code: 0 });
  await writerGoesOn(20_000); // The other volume never noticed.

  // And it goes away as any other: no mount of the dead filesystem holds it back.
  await kubectl('delete', 'pod', 'healed', 'raw', '--wait');
  await kubectl('delete', 'pvc', 'healed', 'raw', '--wait');
  await eventually('its daemon and loops are gone', 30_000, async () => counts(await processes()));
});

test('after all of it nothing is there twice, nothing leaked, and every line is on the disk', async () => {
  await clusterHealthy(60_000);
  await eventually('as many processes of each kind as before', 30_000, async () => counts(await processes()));
  expect(counted(await processes())).toEqual(expected);
  const after = await tracesOf(dataDir, (await readInstance(dataDir))?.config.id ?? '');
  expect(after.loops).toHaveLength(loops);
  const deployments = JSON.parse(await kubectl('-n', 'rook-ceph', 'get', 'deployments', '-o', 'json')) as {
    items: {
      metadata: { name: string };
      spec: { replicas: number; selector: { matchLabels: Record<string, string> } };
    }[];
  };
  for (const { metadata, spec } of deployments.items) {
    const labels = Object.entries(spec.selector.matchLabels).map(([key, value]) => `${key}=${value}`);
    const own = await pods('-n', 'rook-ceph', '-l', labels.join(','));
    expect(
      own.map(({ metadata: { name } }) => name),
      metadata.name,
    ).toHaveLength(spec.replicas);
  }
  await kubectl('delete', 'pod', 'writer', '--wait');
  // Lines 1, 2, 3, ... without a gap or a half line, read by another pod after a new mount.
  const check = `awk '$0 != "line " NR { print "line " NR " is: " $0; bad = 1; exit 1 } END { if (!bad) print NR }' /data/log`;
  await apply(shellPod('checker', check, 'writer'));
  await kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/checker', '--timeout=60s');
  const lines = Number(await kubectl('logs', 'checker'));
  console.log(`${lines} lines, all there`);
  expect(lines).toBeGreaterThan(500);
  await kubectl('delete', 'pod', 'checker', '--wait');
  expect(await readFile(join(dataDir, 'log/supervisor.log'), 'utf8')).not.toContain('"level":"fatal"');
});
