import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as core from '../../src/api/core.ts';
import type { NodeRig } from '../support/node-rig.ts';
import { forever, namespace, rigContainers, rigPods, shell, startRigWithRole } from '../support/rig-pods.ts';

const signal = AbortSignal.timeout(420_000);
let rig: NodeRig;
const { until, createPod, ready, deletePod } = rigPods(() => rig, signal);
const { exec } = rigContainers(() => rig);

beforeAll(async () => {
  rig = await startRigWithRole('fe57c0df', signal);
});
afterAll(async () => {
  await rig?.close();
});

const driver = 'test.csi.example';
const handle = 'volume-1';
const calls = () =>
  readFileSync(join(rig.spec.folder, 'rook/csi/calls'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.trim());
const inUse = async () =>
  (await rig.client.get(core.Nodes, { name: 'n1' }, { signal }))?.status?.volumesInUse ?? [];
/** A claim and the PV that it is bound to, as the binder leaves them. */
async function boundClaim(name: string, volumeHandle: string, block = false): Promise<void> {
  const { client } = rig;
  const shared = {
    accessModes: ['ReadWriteOnce'],
    volumeMode: block ? 'Block' : 'Filesystem',
    storageClassName: '',
  };
  const claim = await client.create(
    core.PersistentVolumeClaims,
    {
      metadata: { name, namespace },
      spec: { ...shared, resources: { requests: { storage: '1Gi' } }, volumeName: name },
    },
    { signal },
  );
  await client.create(
    core.PersistentVolumes,
    {
      metadata: { name },
      spec: {
        ...shared,
        capacity: { storage: '1Gi' },
        claimRef: { namespace, name, uid: claim.metadata.uid },
        csi: { driver, volumeHandle, ...(block ? {} : { fsType: 'ext4' }) },
      },
    },
    { signal },
  );
  await patchClaimStatus(name, { phase: 'Bound' });
}
const patchClaimStatus = (name: string, status: object) =>
  rig.client.patch(
    core.PersistentVolumeClaims,
    { namespace, name },
    { type: 'merge', body: { status } },
    { signal, subresource: 'status' },
  );

/** What attach/detach and the driver's attacher write. */
async function attach(volumeName: string, volumeHandle: string): Promise<void> {
  const { client } = rig;
  const name = `csi-${createHash('sha256').update(`${volumeHandle}${driver}n1`).digest('hex')}`;
  const spec = { attacher: driver, nodeName: 'n1', source: { persistentVolumeName: volumeName } };
  await client.create(core.VolumeAttachments, { metadata: { name }, spec }, { signal });
  const status = { attached: true, attachmentMetadata: { device: 'dev7' } };
  const patch = { type: 'merge', body: { status } } as const;
  await client.patch(core.VolumeAttachments, { name }, patch, { signal, subresource: 'status' });
}

const withClaim = {
  securityContext: { fsGroup: 2000 },
  volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'claim' } }],
  containers: [shell(`date > /v/$HOSTNAME; ${forever}`, { volumeMounts: [{ name: 'v', mountPath: '/v' }] })],
};

test('a driver registers, and the node says its id and topology', async () => {
  await rig.startHelper('hostpath-csi', driver, 'id-of-n1', '/var/lib/rook/csi', '/var/lib/kubelet');
  const node = await until(
    'CSINode has it',
    async () => await rig.client.get(core.CSINodes, { name: 'n1' }, { signal }),
  );
  expect(node.spec?.drivers).toEqual([
    { name: driver, nodeID: 'id-of-n1', topologyKeys: ['topology.test/zone'], allocatable: { count: 7 } },
  ]);
  await until(
    'the plugin was told',
    async () => existsSync(join(rig.spec.folder, 'rook/csi/calls')) && calls()[0] === 'registered true',
  );
});

test('a volume is in use before it is attached, staged once, and shared by two pods', async () => {
  const { client } = rig;
  await client.create(
    core.CSIDrivers,
    {
      metadata: { name: driver },
      spec: { attachRequired: true, podInfoOnMount: true, fsGroupPolicy: 'File' },
    },
    { signal },
  );
  await boundClaim('claim', handle);
  await createPod('user-1', withClaim);
  await until('the volume is in use', async () =>
    (await inUse()).includes(`kubernetes.io/csi/${driver}^${handle}`),
  );
  expect(calls().filter((line) => line.startsWith('stage'))).toEqual([]);
  await attach('claim', handle);
  await ready('user-1');
  await createPod('user-2', withClaim);
  await ready('user-2');
  expect(calls()).toEqual([
    'registered true',
    `stage ${handle} dev7 0`,
    `publish ${handle} user-1`,
    `publish ${handle} user-2`,
  ]);
  expect((await exec('user-2', '/bin/stat', '-c', '%g %a', '/v')).out).toMatch(/^2000 27/);
  expect(readdirSync(join(rig.spec.folder, 'rook/csi/data', handle)).sort()).toEqual(['user-1', 'user-2']);
});

test('growth is finished on the node', async () => {
  const { client } = rig;
  await client.patch(
    core.PersistentVolumes,
    { name: 'claim' },
    { type: 'merge', body: { spec: { capacity: { storage: '2Gi' } } } },
    { signal },
  );
  const conditions = [{ type: 'FileSystemResizePending', status: 'True' }];
  await patchClaimStatus('claim', { conditions });
  await until('the claim says its size', async () => {
    const claim = await client.get(core.PersistentVolumeClaims, { namespace, name: 'claim' }, { signal });
    return claim?.status?.capacity?.['storage'] === '2Gi' && (claim.status.conditions ?? []).length === 0;
  });
  expect(calls()).toContain(`expand ${handle} ${2 * 1024 ** 3}`);
});

test('the last user unstages, even where the node role died in between; nothing is deleted through a mount', async () => {
  await deletePod('user-1');
  expect(calls().at(-1)).toBe(`unpublish ${handle}`);
  await rig.stopRole('SIGKILL');
  await rig.client.delete(core.Pods, { namespace, name: 'user-2' }, { signal, gracePeriodSeconds: 0 });
  await rig.startRole();
  await until('it is unstaged', async () => calls().at(-1) === `unstage ${handle}`);
  await until('it is no longer in use', async () => (await inUse()).length === 0);
  expect(readdirSync(join(rig.spec.folder, 'rook/csi/data', handle)).sort()).toEqual(['user-1', 'user-2']);
  expect(await rig.inside('/bin/cat', '/proc/mounts')).not.toContain('kubernetes.io~csi');
});

test('a raw device comes into the pod as a device', async () => {
  await boundClaim('raw', 'raw-1', true);
  await attach('raw', 'raw-1');
  await createPod('raw', {
    volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'raw' } }],
    containers: [shell(forever, { volumeDevices: [{ name: 'v', devicePath: '/dev/data' }] })],
  });
  await ready('raw');
  expect((await exec('raw', '/bin/bash', '-c', 'head -c 3 /dev/data | od -An -tx1')).out).toBe(' 00 00 00\n');
  await deletePod('raw');
  expect(calls().slice(-2)).toEqual(['unpublish raw-1', 'unstage raw-1']);
  await until('it is no longer in use', async () => (await inUse()).length === 0);
  expect(await rig.inside('/bin/cat', '/proc/mounts')).not.toContain('volumeDevices');
});
