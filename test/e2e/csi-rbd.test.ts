import { mkdir, open as openFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CSINodes } from '../../src/api/core.ts';
import { runCsiController } from '../../src/csi/run-csi-controller.ts';
import { runCsiNode } from '../../src/csi/run-csi-node.ts';
import { clusterConfigFile } from '../../src/csi/cluster-config.ts';
import { runMounter } from '../../src/csi/mounter/run-mounter.ts';
import { Controller, Node, VolumeCapability_AccessMode_Mode as Mode } from '../../src/gen/csi/v1/csi_pb.js';
import { qsdAttacher } from '../../src/host/attach-qsd.ts';
import { hostFilesystems } from '../../src/host/filesystems.ts';
import { hostLoops } from '../../src/host/loops.ts';
import { hostMounts, mountAt } from '../../src/host/mounts.ts';
import { qsdDaemon } from '../../src/host/qsd-daemon.ts';
import { hostTools } from '../../src/host/tools.ts';
import { loadKubeConfig } from '../../src/kube/kubeconfig.ts';
import { createKubeClient } from '../../src/kube/undici-client.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { unaryClient } from '../../src/lib/grpc.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { startTestApi, type TestApi } from '../support/api-server.ts';
import { startCephCluster, type CephCluster } from '../support/ceph-cluster.ts';
import { untilEmpty, untilThere } from '../support/csi-driver.ts';
import { makeTestFolder } from '../support/test-folder.ts';

// The whole driver over its sockets, on a real Ceph cluster, with real devices, filesystems and mounts.

const driver = 'rook-ceph.rbd.csi.ceph.com';
const mib = 1024n * 1024n;
const options = { signal: AbortSignal.timeout(230_000), timeoutMs: 120_000 };
const stop = new AbortController();
const { signal } = stop;

let cluster: CephCluster;
let api: TestApi;
let work: string;
let root: string;
let config: string;
let running: Promise<unknown>[] = [];
let node: { stop: () => Promise<void> };

const tools = () => hostTools({ root: cluster.tree.root, env: cluster.tree.env });
const mounts = () => hostMounts(tools());
const secrets = () => ({
  userID: cluster.connection.user.replace('client.', ''),
  userKey: cluster.connection.key,
});
const open = (socket: string) => new Client(`unix:${join(work, socket)}`, credentials.createInsecure());
const controller = (socket = 'c.sock') => unaryClient(open(socket), Controller);
const nodeClient = () => unaryClient(open('n.sock'), Node);

/** csi node as a process of its own would be: started, stopped, started again over the same folders. */
function startNode() {
  const own = new AbortController();
  const done = runCsiNode(
    {
      driver,
      version: 'test',
      nodeId: 'n1',
      endpoint: `unix://${join(work, 'n.sock')}`,
      kubeletRoot: root,
      registrationDir: join(work, 'registration'),
      pluginSocket: join(root, 'plugins', driver, 'csi.sock'),
      mounter: `unix://${join(work, 'm.sock')}`,
    },
    {
      clusters: clusterConfigFile(config),
      mounts: mounts(),
      filesystems: hostFilesystems(tools()),
      clock: systemClock,
      log: silentLogger,
      signal: own.signal,
    },
  );
  return {
    async stop() {
      own.abort();
      await done;
    },
  };
}

beforeAll(async () => {
  cluster = await startCephCluster({ pools: ['rbd'] });
  api = await startTestApi();
  work = await makeTestFolder('csi-');
  root = join(work, 'kubelet');
  for (const name of ['kubelet', 'state', 'registration']) await mkdir(join(work, name), { mode: 0o700 });
  config = join(work, 'config.json');
  const monitors = [cluster.connection.monHost];
  await writeFile(config, JSON.stringify([{ clusterID: 'rook-ceph', monitors }]));
  const client = createKubeClient(await loadKubeConfig(api.kubeconfig));
  for (const name of ['n1', 'n2'])
    await client.create(
      CSINodes,
      { metadata: { name }, spec: { drivers: [{ name: driver, nodeID: name }] } },
      options,
    );
  const common = { clock: systemClock, log: silentLogger, signal };
  const attacher = qsdAttacher({
    tools: tools(),
    loops: hostLoops(tools()),
    mounts: mounts(),
    daemon: qsdDaemon(tools(), systemClock),
    clock: systemClock,
    log: silentLogger,
    stateDir: join(work, 'state'),
  });
  const startController = (endpoint: string) =>
    runCsiController(
      {
        driver,
        version: 'test',
        endpoint: `unix://${join(work, endpoint)}`,
        namespace: 'default',
        identity: endpoint,
      },
      {
        ...common,
        client,
        clusters: clusterConfigFile(config),
        openCeph: (connection) => cluster.connect({ user: connection.user, key: connection.key }),
      },
    );
  running = [
    startController('c.sock'),
    startController('c2.sock'), // As in a rollout: two at once, each with a connection to Ceph of its own.
    runMounter({ socket: join(work, 'm.sock') }, { ...common, attachers: [attacher] }),
  ];
  for (const one of running) one.catch(() => undefined);
  node = startNode();
  await untilThere(work, 'c.sock', 'c2.sock', 'm.sock', 'n.sock');
});

afterAll(async () => {
  await node?.stop();
  stop.abort();
  await Promise.allSettled(running);
  if (work) {
    const never = AbortSignal.timeout(20_000);
    for (const entry of (await mounts().list()).reverse())
      if (entry.mountPoint.startsWith(`${work}/`))
        await mounts().unmount(entry.mountPoint, { lazy: true }, never);
    await rm(work, { recursive: true, force: true });
  }
  await api?.close();
  await cluster?.stop();
});

const capability = (fsType: string) => ({
  accessType: { case: 'mount' as const, value: { fsType, mountFlags: [] } },
  accessMode: { mode: Mode.SINGLE_NODE_WRITER },
});
const parameters = { clusterID: 'rook-ceph', pool: 'rbd', imageFeatures: 'layering,exclusive-lock' };

async function create(name: string, fsType: string, bytes: bigint) {
  const { volume } = await controller().createVolume(
    {
      name,
      parameters,
      secrets: secrets(),
      capacityRange: { requiredBytes: bytes },
      volumeCapabilities: [capability(fsType)],
    },
    options,
  );
  if (!volume) throw new Error('no volume');
  return volume;
}

test.each(['ext4', 'xfs'])(
  'a volume with %s is made, attached, written, outlives csi node, grows, and leaves nothing',
  async (fsType) => {
    const volume = await create(`pvc-${fsType}`, fsType, 320n * mib);
    const { volumeId, volumeContext } = volume;
    const volumeCapability = capability(fsType);
    await controller().controllerPublishVolume(
      { volumeId, nodeId: 'n1', volumeCapability, secrets: secrets(), volumeContext },
      options,
    );
    await expect(
      controller().controllerPublishVolume(
        { volumeId, nodeId: 'n2', volumeCapability, secrets: secrets(), volumeContext },
        options,
      ),
    ).rejects.toThrow(/n1/);

    const stagingTargetPath = join(root, 'plugins/kubernetes.io/csi', fsType, 'globalmount');
    const targetPath = join(root, 'pods', fsType, 'mount');
    await mkdir(stagingTargetPath, { recursive: true });
    await mkdir(join(root, 'pods', fsType), { recursive: true });
    const stage = { volumeId, stagingTargetPath, volumeCapability, secrets: secrets(), volumeContext };
    await nodeClient().nodeStageVolume(stage, options);
    await nodeClient().nodeStageVolume(stage, options); // kubelet asks again after its own restart.
    expect(mountAt(await mounts().list(), stagingTargetPath)?.fsType).toBe(fsType);
    const publish = { volumeId, stagingTargetPath, targetPath, volumeCapability, volumeContext };
    await nodeClient().nodePublishVolume(publish, options);
    await writeFile(join(targetPath, 'file'), 'kept');

    await node.stop();
    expect(await readFile(join(targetPath, 'file'), 'utf8')).toBe('kept');
    node = startNode();
    await untilThere(work, 'n.sock');
    await nodeClient().nodePublishVolume(publish, options);

    const stats = await nodeClient().nodeGetVolumeStats({ volumeId, volumePath: targetPath }, options);
    const before = stats.usage[0]?.total ?? 0n;
    expect(stats.volumeCondition).toMatchObject({ abnormal: false });
    expect(before).toBeGreaterThan(200n * mib);
    const capacityRange = { requiredBytes: 640n * mib };
    const grown = await controller().controllerExpandVolume(
      { volumeId, capacityRange, secrets: secrets(), volumeCapability },
      options,
    );
    expect(grown).toMatchObject({ capacityBytes: 640n * mib, nodeExpansionRequired: true });
    // Growing ext4 while it is mounted takes CAP_SYS_RESOURCE, which not every machine's root has.
    if (fsType === 'xfs') {
      await nodeClient().nodeExpandVolume({ volumeId, volumePath: targetPath, capacityRange }, options);
      const after = await nodeClient().nodeGetVolumeStats({ volumeId, volumePath: targetPath }, options);
      expect(after.usage[0]?.total).toBeGreaterThan(before + 200n * mib);
    }

    await nodeClient().nodeUnpublishVolume({ volumeId, targetPath }, options);
    await nodeClient().nodeUnstageVolume({ volumeId, stagingTargetPath }, options);
    await nodeClient().nodeUnstageVolume({ volumeId, stagingTargetPath }, options);
    expect((await mounts().list()).filter(({ mountPoint }) => mountPoint.startsWith(`${work}/`))).toEqual([]);
    const loops = await hostLoops(tools()).list(options.signal);
    expect(loops.filter(({ backingPath }) => backingPath.startsWith(`${work}/`))).toEqual([]);

    // Attached again, the file is there: what was formatted once is never formatted again.
    await nodeClient().nodeStageVolume(stage, options);
    expect(await readFile(join(stagingTargetPath, 'file'), 'utf8')).toBe('kept');
    await nodeClient().nodeUnstageVolume({ volumeId, stagingTargetPath }, options);

    await expect(controller().deleteVolume({ volumeId, secrets: secrets() }, options)).rejects.toThrow(/n1/);
    await controller().controllerUnpublishVolume({ volumeId, nodeId: 'n1', secrets: secrets() }, options);
    await controller().deleteVolume({ volumeId, secrets: secrets() }, options);
    await controller().deleteVolume({ volumeId, secrets: secrets() }, options);
    await untilEmpty(cluster.ceph);
  },
);

test('an image made by hand is served by a PV that names it, and stays when everything else is gone', async () => {
  const place = { pool: 'rbd' };
  const features = ['layering', 'exclusive-lock'];
  await cluster.ceph.rbd.create(place, 'by-hand', { sizeBytes: 320n * mib, features }, options);
  // What ceph-csi's documentation has a person write: handle and attributes of the PV, no imageName.
  const volumeId = 'by-hand';
  const volumeContext = {
    clusterID: 'rook-ceph',
    pool: 'rbd',
    staticVolume: 'true',
    imageFeatures: 'layering',
  };
  const volumeCapability = capability('ext4');
  const publishTo = (nodeId: string) =>
    controller().controllerPublishVolume(
      { volumeId, nodeId, volumeCapability, secrets: secrets(), volumeContext },
      options,
    );
  const unpublish = () =>
    controller().controllerUnpublishVolume({ volumeId, nodeId: 'n1', secrets: secrets() }, options);
  await publishTo('n1');
  await expect(publishTo('n2')).rejects.toThrow(/n1/);
  await expect(publishTo('n3')).rejects.toThrow('no node n3');
  const stagingTargetPath = join(root, 'plugins/kubernetes.io/csi/static/globalmount');
  const targetPath = join(root, 'pods/static/mount');
  await mkdir(join(root, 'pods/static'), { recursive: true });
  await nodeClient().nodeStageVolume(
    { volumeId, stagingTargetPath, volumeCapability, secrets: secrets(), volumeContext },
    options,
  );
  await nodeClient().nodePublishVolume(
    { volumeId, stagingTargetPath, targetPath, volumeCapability, volumeContext },
    options,
  );
  await writeFile(join(targetPath, 'file'), 'kept');
  await expect(unpublish()).rejects.toThrow('still open on node n1');
  await nodeClient().nodeUnpublishVolume({ volumeId, targetPath }, options);
  await nodeClient().nodeUnstageVolume({ volumeId, stagingTargetPath }, options);
  await unpublish(); // At once: a clean detach leaves no watcher behind.
  await publishTo('n2');
  await controller('c2.sock').controllerUnpublishVolume(
    { volumeId, nodeId: 'n2', secrets: secrets() },
    options,
  );
  await controller().deleteVolume({ volumeId, secrets: secrets() }, options);
  expect((await cluster.ceph.rbd.list(place, options)).map(({ name }) => name)).toEqual(['by-hand']);
  expect((await cluster.ceph.objects.omapList(place, 'holdfast.static', options)).size).toBe(0);
  await cluster.ceph.rbd.remove(place, 'by-hand', options);
});

test('a volume as a device has the size of the image, and can be written and read', async () => {
  const volumeCapability = {
    accessType: { case: 'block' as const, value: {} },
    accessMode: { mode: Mode.SINGLE_NODE_MULTI_WRITER },
  };
  const { volumeId, volumeContext } = await create('pvc-block', '', 64n * mib);
  const stagingTargetPath = join(root, 'plugins/kubernetes.io/csi/volumeDevices/staging/block');
  const targetPath = join(root, 'plugins/kubernetes.io/csi/volumeDevices/publish/block/u1');
  const stage = { volumeId, stagingTargetPath, volumeCapability, secrets: secrets(), volumeContext };
  await nodeClient().nodeStageVolume(stage, options);
  await nodeClient().nodePublishVolume(
    { volumeId, stagingTargetPath, targetPath, volumeCapability, volumeContext },
    options,
  );
  const size = async () =>
    (await nodeClient().nodeGetVolumeStats({ volumeId, volumePath: targetPath }, options)).usage[0]?.total;
  expect(await size()).toBe(64n * mib);
  await writeFile(targetPath, Buffer.alloc(4096, 'block'), { flag: 'r+' });
  const device = await openFile(targetPath, 'r');
  expect((await device.read(Buffer.alloc(4096), 0, 4096, 0)).buffer.toString('utf8', 0, 5)).toBe('block');
  await device.close();
  const capacityRange = { requiredBytes: 128n * mib };
  const grow = { volumeId, capacityRange, secrets: secrets(), volumeCapability };
  expect(await controller().controllerExpandVolume(grow, options)).toMatchObject({
    nodeExpansionRequired: true,
  });
  await nodeClient().nodeExpandVolume({ volumeId, volumePath: targetPath, capacityRange }, options);
  expect(await size()).toBe(128n * mib);
  await nodeClient().nodeUnpublishVolume({ volumeId, targetPath }, options);
  await nodeClient().nodeUnstageVolume({ volumeId, stagingTargetPath }, options);
  await controller().deleteVolume({ volumeId, secrets: secrets() }, options);
  await untilEmpty(cluster.ceph);
});

test('of fifty raced attaches of one volume, under two nodes and by two controllers, one wins each time', async () => {
  const { volumeId, volumeContext } = await create('pvc-raced', 'ext4', 64n * mib);
  const clients = [controller('c.sock'), controller('c2.sock')];
  const wins = new Map<string, number>();
  for (let round = 0; round < 50; round++) {
    const attach = async (nodeId: string, turn: number) => {
      const request = {
        volumeId,
        nodeId,
        volumeCapability: capability('ext4'),
        secrets: secrets(),
        volumeContext,
      };
      await clients[(round + turn) % 2]?.controllerPublishVolume(request, options);
      return nodeId;
    };
    const ends = await Promise.allSettled([attach('n1', 0), attach('n2', 1)]);
    const won = ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
    expect(won, `round ${round}`).toHaveLength(1);
    const [winner = ''] = won;
    wins.set(winner, (wins.get(winner) ?? 0) + 1);
    // The loser's detach takes nothing from the winner.
    const other = winner === 'n1' ? 'n2' : 'n1';
    await clients[0]?.controllerUnpublishVolume({ volumeId, nodeId: other, secrets: secrets() }, options);
    await expect(attach(other, 0)).rejects.toThrow(winner);
    await clients[1]?.controllerUnpublishVolume({ volumeId, nodeId: winner, secrets: secrets() }, options);
  }
  console.log('races won:', Object.fromEntries(wins));
  await clients[0]?.deleteVolume({ volumeId, secrets: secrets() }, options);
  await untilEmpty(cluster.ceph);
});

// The budget of 2 is bench's to hold, on a quiet machine; here client, server and API server share one process.
test('CreateVolume stays in the order of a bare create of an image', async () => {
  const rounds = 40;
  const bare: number[] = [];
  const rpc: number[] = [];
  const client = controller();
  const features = ['layering', 'exclusive-lock'];
  for (let round = 0; round < rounds; round++) {
    let startedMs = performance.now();
    await cluster.ceph.rbd.create(
      { pool: 'rbd' },
      `bare-${round}`,
      { sizeBytes: 64n * mib, features },
      options,
    );
    bare.push(performance.now() - startedMs);
    startedMs = performance.now();
    await client.createVolume(
      {
        name: `fast-${round}`,
        parameters,
        secrets: secrets(),
        capacityRange: { requiredBytes: 64n * mib },
        volumeCapabilities: [capability('ext4')],
      },
      options,
    );
    rpc.push(performance.now() - startedMs);
  }
  const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1] ?? 0;
  const ratio = median(rpc) / median(bare);
  console.log(
    `CreateVolume p50 ${median(rpc).toFixed(1)} ms, bare create ${median(bare).toFixed(1)} ms, ratio ${ratio.toFixed(2)}`,
  );
  expect(ratio).toBeLessThan(3);
});
