import type { Node, PersistentVolume } from 'kubernetes-types/core/v1.js';
import type { VolumeAttachment } from 'kubernetes-types/storage/v1.js';
import { expect, test } from 'vitest';
import type { Resource, Stored } from '../../../api/resource.ts';
import { silentLogger } from '../../../lib/log.ts';
import { attachmentName, volumeKey, type AttachDeps } from './attachment.ts';
import { volumeDetach } from './detach.ts';

const context = { signal: new AbortController().signal, log: silentLogger };
const stored = <T>(name: string, rest: object) =>
  ({ metadata: { name, uid: name, resourceVersion: '1', creationTimestamp: '' }, ...rest }) as Stored<
    T & object
  >;

const attachment = stored<VolumeAttachment>('csi-1', {
  spec: { attacher: 'rbd.example', nodeName: 'n1', source: { persistentVolumeName: 'pv' } },
});
const volume = stored<PersistentVolume>('pv', {
  spec: { csi: { driver: 'rbd.example', volumeHandle: 'h' } },
});
const node = (...inUse: string[]) => stored<Node>('n1', { status: { volumesInUse: inUse } });
const using = node(volumeKey('rbd.example', 'h'));

interface World {
  readonly node?: Stored<Node>;
  readonly volume?: Stored<PersistentVolume>;
}

/** Looks at an attachment that no pod wants, with what the caches have and what the API has. */
async function look(cached: World, live: World) {
  const deleted: string[] = [];
  const cache = (object: unknown) => ({ get: () => object, list: () => (object ? [object] : []) });
  const deps = {
    pods: cache(undefined),
    claims: cache(undefined),
    nodes: cache(cached.node),
    volumes: cache(cached.volume),
    client: {
      get: ({ kind }: Resource) => Promise.resolve(kind === 'Node' ? live.node : live.volume),
      delete: (_: Resource, { name }: { name: string }) => Promise.resolve(deleted.push(name)),
    },
  } as unknown as AttachDeps;
  const outcome = await volumeDetach(deps).reconcile(attachment, context);
  return { deleted, outcome: outcome.kind };
}

test('a volume that no pod wants and its node no longer uses is detached', async () => {
  const world = { node: node(), volume };
  expect(await look(world, world)).toEqual({ deleted: ['csi-1'], outcome: 'done' });
});

test.each<[string, World]>([
  ['the node', { node: node(), volume }],
  ['the volume', { node: using }],
  ['anything', {}],
])('one that is in use stays attached where a cache has yet to hear of %s', async (_, cached) => {
  expect(await look(cached, { node: using, volume })).toEqual({ deleted: [], outcome: 'requeue' });
});

test('one whose node is gone is detached', async () => {
  expect(await look({ node: using }, { volume })).toEqual({ deleted: ['csi-1'], outcome: 'done' });
});

test('one that another pod came for while the API was asked stays attached', async () => {
  const deleted: string[] = [];
  const pods: unknown[] = [];
  const pod = {
    metadata: { namespace: 'd', name: 'p' },
    spec: { nodeName: 'n1', volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'c' } }] },
  };
  const only = (object: unknown) => ({ get: () => object });
  const deps = {
    pods: { list: () => pods },
    claims: only({ spec: { volumeName: 'pv' }, status: { phase: 'Bound' } }),
    nodes: only(node()),
    volumes: only(volume),
    drivers: only(undefined),
    client: {
      async get({ kind }: Resource) {
        pods[0] = pod;
        return await Promise.resolve(kind === 'Node' ? node() : volume);
      },
      delete: (_: Resource, { name }: { name: string }) => Promise.resolve(deleted.push(name)),
    },
  } as unknown as AttachDeps;
  const named = {
    ...attachment,
    metadata: { ...attachment.metadata, name: attachmentName('h', 'rbd.example', 'n1') },
  };
  expect(await volumeDetach(deps).reconcile(named, context)).toEqual({ kind: 'done' });
  expect(deleted).toEqual([]);
});
