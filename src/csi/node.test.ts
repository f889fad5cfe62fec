import { access, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { VolumeCapability_AccessMode_Mode as Mode } from '../gen/csi/v1/csi_pb.js';
import { nodeServiceBench } from '../../test/support/node-service-bench.ts';
import { codeOf } from '../../test/support/rpc-code.ts';

// What csi-sanity expects of a node, and what kubelet does to one, asked over a real socket.

const options = { signal: new AbortController().signal };
const volumeId = '0001-0009-rook-ceph-0000000000000001-c530ba07-fcdd-11ea-a0e2-4efdc282348e';
const image = 'csi-vol-c530ba07-fcdd-11ea-a0e2-4efdc282348e';
const volumeContext = { clusterID: 'rook-ceph', pool: 'rbd', imageFeatures: 'layering' };
const secrets = { userID: 'csi', userKey: 'very-secret' };
const mountOf = (mode = Mode.SINGLE_NODE_MULTI_WRITER, fsType = 'ext4') => ({
  accessType: { case: 'mount' as const, value: { fsType, mountFlags: ['nodiratime'] } },
  accessMode: { mode },
});
const blockOf = (mode = Mode.SINGLE_NODE_MULTI_WRITER) => ({
  accessType: { case: 'block' as const, value: {} },
  accessMode: { mode },
});

async function bench() {
  const made = await nodeServiceBench();
  const { node, root } = made;
  const stagingTargetPath = join(root, 'plugins/kubernetes.io/csi/d/hash/globalmount');
  const targetPath = join(root, 'pods/u1/volumes/kubernetes.io~csi/pv/mount');
  const volumeCapability = mountOf();
  const stage = { volumeId, stagingTargetPath, volumeCapability, volumeContext, secrets };
  const publish = { volumeId, stagingTargetPath, targetPath, volumeCapability, volumeContext };
  const calls = {
    stage: (change: object = {}) => node.nodeStageVolume({ ...stage, ...change }, options),
    publish: (change: object = {}) => node.nodePublishVolume({ ...publish, ...change }, options),
    unpublish: (change: object = {}) =>
      node.nodeUnpublishVolume({ volumeId, targetPath, ...change }, options),
    unstage: (change: object = {}) =>
      node.nodeUnstageVolume({ volumeId, stagingTargetPath, ...change }, options),
    stats: (change: object = {}) =>
      node.nodeGetVolumeStats({ volumeId, volumePath: targetPath, ...change }, options),
    expand: (change: object = {}) =>
      node.nodeExpandVolume({ volumeId, volumePath: targetPath, ...change }, options),
  };
  return { ...made, ...calls, stagingTargetPath, targetPath };
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

test('the life of a volume, every step twice, leaves nothing', async () => {
  const { stage, publish, stats, expand, unpublish, unstage, ...rest } = await bench();
  const { host, qsd, stagingTargetPath, targetPath, root, told } = rest;
  await stage();
  expect(told.get('image attached')).toMatchObject({
    attacher: 'qsd',
    passedOver: ['krbd: the kernel has no rbd module'],
  });
  for (const twice of [1, 2]) {
    await stage();
    expect(
      host.table.map(({ mountPoint }) => mountPoint),
      `${twice}`,
    ).toEqual([stagingTargetPath]);
  }
  expect(host.table[0]).toMatchObject({ fsType: 'ext4', options: ['noatime', 'discard', 'nodiratime'] });
  for (const _twice of [1, 2]) await publish();
  expect(host.table.map(({ mountPoint }) => mountPoint)).toEqual([stagingTargetPath, targetPath]);
  expect((await stats()).usage.map(({ total }) => total > 0n)).toEqual([true, true]);
  for (const _twice of [1, 2]) {
    const grown = await expand({ capacityRange: { requiredBytes: 2n * 1024n ** 3n } });
    expect(grown.capacityBytes).toBe(2n * 1024n ** 3n);
  }
  const folder = join(root, 'plugins/d/staged');
  for (const name of await readdir(folder))
    expect(await readFile(join(folder, name), 'utf8')).not.toContain(secrets.userKey);
  for (const _twice of [1, 2]) await unpublish();
  expect(await exists(targetPath)).toBe(false);
  for (const _twice of [1, 2]) await unstage();
  expect([host.table, [...qsd.attachments], await readdir(folder)]).toEqual([[], [], []]);
});

test('missing arguments are named, and nothing is done', async () => {
  const { stage, publish, stats, expand, unpublish, unstage, host, qsd } = await bench();
  const calls = { stage, publish, stats, expand, unpublish, unstage };
  const cases: [keyof typeof calls, object, string][] = [
    ['stage', { volumeId: '' }, 'volume_id'],
    ['stage', { stagingTargetPath: '' }, 'staging_target_path'],
    ['stage', { volumeCapability: undefined }, 'volume_capability'],
    ['stage', { volumeId: 'not-ours' }, 'not one of ours'],
    ['stage', { secrets: {} }, 'userID'],
    ['stage', { volumeContext: { clusterID: 'rook-ceph' } }, '"pool"'],
    ['stage', { volumeCapability: mountOf(undefined, 'btrfs') }, 'btrfs'],
    ['stage', { volumeCapability: mountOf(Mode.MULTI_NODE_MULTI_WRITER) }, 'one node only'],
    ['publish', { volumeId: '' }, 'volume_id'],
    ['publish', { targetPath: '' }, 'target_path'],
    ['publish', { volumeCapability: undefined }, 'volume_capability'],
    ['unpublish', { volumeId: '' }, 'volume_id'],
    ['unpublish', { targetPath: '' }, 'target_path'],
    ['unstage', { volumeId: '' }, 'volume_id'],
    ['unstage', { stagingTargetPath: '' }, 'staging_target_path'],
    ['stats', { volumeId: '' }, 'volume_id'],
    ['stats', { volumePath: '' }, 'volume_path'],
    ['expand', { volumeId: '' }, 'volume_id'],
    ['expand', { volumePath: '' }, 'volume_path'],
  ];
  for (const [call, change, text] of cases) {
    const ask = () => calls[call](change);
    expect([call, change, await codeOf(ask())]).toEqual([call, change, 'INVALID_ARGUMENT']);
    await expect(ask()).rejects.toThrow(text);
  }
  expect(await codeOf(publish({ stagingTargetPath: '' }))).toBe('FAILED_PRECONDITION');
  expect([host.table, qsd.attachments.size]).toEqual([[], 0]);
});

test.each([
  '/etc',
  'relative/path',
  '/var/lib/kubelet-other/x',
  '{root}/../x',
  '{root}/pods/../../x',
  '{root}',
])("the path %s is refused: it is not below kubelet's folder", async (given) => {
  const { stage, publish, unpublish, unstage, root } = await bench();
  const path = given.replace('{root}', root);
  const calls = [
    stage({ stagingTargetPath: path }),
    unstage({ stagingTargetPath: path }),
    publish({ targetPath: path }),
    publish({ stagingTargetPath: path }),
    unpublish({ targetPath: path }),
  ];
  expect(await Promise.all(calls.map(codeOf))).toEqual(calls.map(() => 'INVALID_ARGUMENT'));
});

test('what is not there: clean-up is fine, everything else says so', async () => {
  const { stage, publish, stats, expand, unpublish, unstage, root, stagingTargetPath, targetPath } =
    await bench();
  expect(await codeOf(unpublish())).toBe('OK');
  expect(await codeOf(unstage())).toBe('OK');
  expect(await codeOf(unstage({ volumeId: 'never-ours' }))).toBe('OK');
  expect(await codeOf(publish())).toBe('FAILED_PRECONDITION');
  expect(await codeOf(publish({ volumeCapability: blockOf() }))).toBe('FAILED_PRECONDITION');
  expect(await codeOf(stats({ volumePath: 'some/path' }))).toBe('NOT_FOUND');
  expect(await codeOf(expand())).toBe('NOT_FOUND');
  await stage();
  expect(await codeOf(stats())).toBe('NOT_FOUND');
  expect(await codeOf(stats({ volumePath: root }))).toBe('NOT_FOUND'); // A folder, but no volume.
  expect(await codeOf(expand())).toBe('NOT_FOUND');
  expect(await codeOf(expand({ volumePath: stagingTargetPath }))).toBe('OK');
  expect(await codeOf(expand({ volumeId: 'other', volumePath: stagingTargetPath }))).toBe('NOT_FOUND');
  // What is in a target that is no mount is somebody's data.
  await mkdir(targetPath, { recursive: true });
  await writeFile(join(targetPath, 'file'), 'kept');
  expect(await codeOf(unpublish())).toBe('INTERNAL');
  expect(await readFile(join(targetPath, 'file'), 'utf8')).toBe('kept');
});

test('the same volume in another way is refused, and stays as it is', async () => {
  const { stage, publish, host, root, stagingTargetPath, targetPath } = await bench();
  await stage();
  const elsewhere = join(root, 'plugins/elsewhere/globalmount');
  expect(await codeOf(stage({ stagingTargetPath: elsewhere }))).toBe('ALREADY_EXISTS');
  expect(await codeOf(stage({ volumeCapability: mountOf(undefined, 'xfs') }))).toBe('ALREADY_EXISTS');
  await publish();
  expect(await codeOf(publish({ readonly: true }))).toBe('ALREADY_EXISTS');
  const second = join(root, 'pods/u2/mount');
  const only = mountOf(Mode.SINGLE_NODE_SINGLE_WRITER);
  expect(await codeOf(publish({ volumeCapability: only }))).toBe('OK'); // The same target.
  expect(await codeOf(publish({ targetPath: second, volumeCapability: only }))).toBe('FAILED_PRECONDITION');
  expect(await codeOf(publish({ targetPath: second, readonly: true }))).toBe('OK');
  expect(host.table.map(({ mountPoint, options: [first] }) => [mountPoint, first])).toEqual([
    [stagingTargetPath, 'noatime'],
    [targetPath, 'rw'],
    [second, 'ro'],
  ]);
});

test('one call of a volume at a time: the next one is told what runs, and another volume is not kept', async () => {
  const { stage, unstage, publish, qsd, root } = await bench();
  let letGo = () => {};
  const gate = new Promise<void>((resolve) => (letGo = resolve));
  let reached = () => {};
  const attaching = new Promise<void>((resolve) => (reached = resolve));
  const { attach } = qsd;
  Object.assign(qsd, {
    attach: async (...call: Parameters<typeof attach>) => {
      if (call[0].image === image) {
        reached();
        await gate;
      }
      return await attach(...call);
    },
  });
  const first = stage();
  await attaching;
  expect(await codeOf(stage())).toBe('ABORTED');
  await expect(unstage()).rejects.toThrow(`NodeStageVolume of ${volumeId}`);
  expect(await codeOf(publish())).toBe('ABORTED');
  const other = volumeId.replace('c530ba07', 'c530ba08');
  expect(await codeOf(stage({ volumeId: other, stagingTargetPath: join(root, 'plugins/o') }))).toBe('OK');
  letGo();
  await first;
  expect(await codeOf(publish())).toBe('OK');
});

test("the image, its features and the wish for a way to attach reach the node's attachers", async () => {
  const { stage, unstage, krbd, qsd } = await bench();
  const held = () =>
    [...krbd.attachments.values(), ...qsd.attachments.values()].map(({ request }) =>
      [request.clusterId, request.pool, request.namespace, request.image].join('/'),
    );
  const context = (change: object) => ({ volumeContext: { ...volumeContext, ...change } });
  expect(await codeOf(stage(context({ mounter: 'rbd' })))).toBe('FAILED_PRECONDITION');
  await expect(stage(context({ mounter: 'krbd' }))).rejects.toThrow(
    'this node cannot attach the image: krbd: the kernel has no rbd module; qsd: krbd was asked for',
  );
  await stage(context({ mounter: 'krbd', tryOtherMounters: 'true', radosNamespace: 'ns' }));
  expect(held()).toEqual([`rook-ceph/rbd/ns/${image}`]);
  await unstage();
  krbd.refusal = undefined;
  await stage(context({ mounter: 'rbd' }));
  expect(krbd.attachments.size).toBe(1);
  await unstage();
  // An image that a person made: its name is the handle, or what the attributes say.
  const fixed = { staticVolume: 'true' };
  await stage({ volumeId: 'pets', ...context(fixed) });
  expect(held()).toEqual(['rook-ceph/rbd//pets']);
  await unstage({ volumeId: 'pets' });
  await stage({ volumeId: 'pets', ...context({ ...fixed, imageName: 'by-hand' }) });
  expect(held()).toEqual(['rook-ceph/rbd//by-hand']);
  await unstage({ volumeId: 'pets' });
  await expect(stage(context({ encrypted: 'true' }))).rejects.toThrow('encrypted volumes are not supported');
  expect(held()).toEqual([]);
});

test('what holds something else is never formatted, and a held device is never taken away', async () => {
  const { stage, unstage, host, qsd } = await bench();
  host.contents.set('/dev/loop0', {
    kind: 'signature',
    type: 'crypto_LUKS',
    usage: 'crypto',
    uuid: undefined,
  });
  expect(await codeOf(stage())).toBe('FAILED_PRECONDITION');
  expect(host.table).toEqual([]);
  expect(await codeOf(unstage())).toBe('OK');
  expect(qsd.attachments.size).toBe(0);
  await stage();
  const [held] = qsd.attachments.values();
  if (held) held.heldBy = 'a pod';
  expect(await codeOf(unstage())).toBe('FAILED_PRECONDITION');
  if (held) held.heldBy = undefined;
  expect(await codeOf(unstage())).toBe('OK'); // It still knows which image that was.
  expect(qsd.attachments.size).toBe(0);
});

test('a volume as a device: no filesystem, a file as its target', async () => {
  const { stage, publish, unpublish, unstage, expand, host, qsd, targetPath } = await bench();
  const volumeCapability = blockOf();
  for (const _twice of [1, 2]) await stage({ volumeCapability });
  expect([host.table, qsd.attachments.size]).toEqual([[], 1]);
  for (const _twice of [1, 2]) await publish({ volumeCapability });
  expect(host.table).toMatchObject([{ mountPoint: targetPath, root: '/dev/loop0' }]);
  expect(await readFile(targetPath, 'utf8')).toBe('');
  const grown = await expand({ capacityRange: { requiredBytes: 2n * 1024n ** 3n } });
  expect(grown.capacityBytes).toBe(2n * 1024n ** 3n);
  for (const _twice of [1, 2]) await unpublish();
  for (const _twice of [1, 2]) await unstage();
  expect([host.table, qsd.attachments.size, await exists(targetPath)]).toEqual([[], 0, false]);
});

test('two images of one name, in two RADOS namespaces, are two devices', async () => {
  const { stage, publish, host, root } = await bench();
  const volumeCapability = blockOf();
  for (const namespace of ['a', 'b']) {
    const context = { ...volumeContext, staticVolume: 'true', imageName: 'same', radosNamespace: namespace };
    const stagingTargetPath = join(root, 'plugins', namespace);
    const volume = {
      volumeId: `pets-${namespace}`,
      volumeContext: context,
      volumeCapability,
      stagingTargetPath,
    };
    await stage(volume);
    await publish({ ...volume, targetPath: join(root, 'pods', namespace) });
  }
  expect(host.table.map(({ root: device }) => device)).toEqual(['/dev/loop0', '/dev/loop1']);
});
