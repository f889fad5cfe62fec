import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Pod } from 'kubernetes-types/core/v1.js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../../../../test/support/api-server.ts';
import { PersistentVolumeClaims, PersistentVolumes, VolumeAttachments } from '../../../api/core.ts';
import type { KubeClient } from '../../../kube/client.ts';
import { loadKubeConfig } from '../../../kube/kubeconfig.ts';
import { createKubeClient } from '../../../kube/undici-client.ts';
import { systemClock } from '../../../lib/clock.ts';
import type { PodReferences } from '../references.ts';
import { csiVolumes, type CsiVolumes, type MountedClaim } from './csi-volumes.ts';
import { Capability, type DriverClient } from './driver-client.ts';
import { attachmentName } from './paths.ts';
import { volumesInUse } from './volumes-in-use.ts';

const driver = 'rbd.example';
const claim = { namespace: 'default', name: 'c' };
const attachment = { name: attachmentName('handle', driver, 'n1') };
const options = { signal: AbortSignal.timeout(60_000) };
const pod: Pod = { metadata: { namespace: 'default', name: 'p', uid: 'u' }, spec: { containers: [] } };

let api: TestApi;
let client: KubeClient;
let kubeletRoot: string;
let volumes: CsiVolumes;
/** What the node did, in order. */
let done: string[];
/** Lets the write of node.status.volumesInUse end. */
let told: () => void;

beforeEach(async () => {
  api = await startTestApi();
  client = tellingLooks(createKubeClient(await loadKubeConfig(api.kubeconfig)));
  kubeletRoot = await mkdtemp(join(tmpdir(), 'kubelet-'));
  done = [];
  const telling = new Promise<void>((resolve) => (told = resolve));
  const calls = {
    nodeStageVolume: (request: { secrets: object; publishContext: { at?: string } }) => {
      done.push(`stage ${Object.keys(request.secrets).join()} ${request.publishContext.at}`);
      return Promise.resolve({});
    },
    nodePublishVolume: () => {
      done.push('publish');
      return Promise.resolve({});
    },
  };
  const node = {
    name: driver,
    calls,
    has: (asked: Capability) => Promise.resolve(asked === Capability.STAGE_UNSTAGE_VOLUME),
  } as unknown as DriverClient;
  volumes = csiVolumes({
    client,
    clock: systemClock,
    kubeletRoot,
    nodeName: 'n1',
    registry: { driver: () => node, drivers: () => [node], run: () => Promise.resolve() },
    references: {
      data: () => {
        done.push('secret');
        return Promise.resolve(new Map([['userKey', Buffer.from('k')]]));
      },
    } as unknown as PodReferences,
    inUse: volumesInUse(async () => {
      done.push('tell');
      await telling;
      done.push('told');
    }),
  });
  await bindClaim();
});
afterEach(async () => {
  await client.close();
  await api.close();
  await rm(kubeletRoot, { recursive: true });
});

/** Notes `look N` once the list that begins the Nth wait for the attachment is over. */
function tellingLooks(real: KubeClient): KubeClient {
  let looks = 0;
  const watchOnce: KubeClient['watchOnce'] = async function* (resource, selection, call) {
    try {
      yield* real.watchOnce(resource, selection, call);
    } finally {
      if (selection.sendInitialEvents) done.push(`look ${++looks}`);
    }
  };
  return { ...real, watchOnce };
}

async function bindClaim(): Promise<void> {
  const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
  const made = await client.create(
    PersistentVolumeClaims,
    { metadata: claim, spec: { ...spec, volumeName: 'pv' } },
    options,
  );
  const body = { status: { phase: 'Bound' } };
  await client.patch(
    PersistentVolumeClaims,
    claim,
    { type: 'merge', body },
    { ...options, subresource: 'status' },
  );
  const nodeStageSecretRef = { namespace: 'default', name: 's' };
  const csi = { driver, volumeHandle: 'handle', nodeStageSecretRef };
  const claimRef = { ...claim, uid: made.metadata.uid };
  await client.create(
    PersistentVolumes,
    {
      metadata: { name: 'pv' },
      spec: { accessModes: spec.accessModes, capacity: { storage: '1Gi' }, claimRef, csi },
    },
    options,
  );
}

async function attach(at: string): Promise<void> {
  const source = { persistentVolumeName: 'pv' };
  await client.create(
    VolumeAttachments,
    { metadata: attachment, spec: { attacher: driver, nodeName: 'n1', source } },
    options,
  );
  const body = { status: { attached: true, attachmentMetadata: { at } } };
  await client.patch(
    VolumeAttachments,
    attachment,
    { type: 'merge', body },
    { ...options, subresource: 'status' },
  );
}

const until = async (what: string) => await expect.poll(() => done, { interval: 10 }).toContain(what);
const setup = (): Promise<MountedClaim> => volumes.setup(pod, claim.name, false, options.signal);

test('the use is told and the secret read while the volume is being attached', async () => {
  const mounted = setup();
  await until('tell');
  told();
  await until('told');
  await until('secret');
  await attach('first');
  expect((await mounted).isDevice).toBe(false);
  expect(done.slice(-2)).toEqual(['stage userKey first', 'publish']);
});

test('an attachment seen before the use was told is looked at again: it may have been taken away', async () => {
  await attach('first');
  const mounted = setup();
  await until('look 1');
  await client.delete(VolumeAttachments, attachment, options);
  told();
  await until('look 2');
  expect(done.filter((one) => one.startsWith('stage'))).toEqual([]);
  await attach('second');
  await mounted;
  expect(done.slice(-2)).toEqual(['stage userKey second', 'publish']);
});
