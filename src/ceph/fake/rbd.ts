import { cephError } from '../errno.ts';
import type { PoolPlace, Rbd, RbdCreateOptions, RbdImageInfo } from '../seam.ts';
import { namespaceAt } from './objects.ts';
import { newObject, type FakeImage, type FakeNamespace, type FakeState } from './state.ts';

type WithoutOptions<F> = F extends (...args: [...infer A, infer _O]) => Promise<infer R>
  ? (...args: A) => R
  : never;

/** librbd's operations without their time. */
export type FakeRbdStore = { readonly [K in keyof Rbd]: WithoutOptions<Rbd[K]> };

const featureOrder = [
  'layering',
  'striping',
  'exclusive-lock',
  'object-map',
  'fast-diff',
  'deep-flatten',
  'journaling',
];
const needs: Readonly<Record<string, string>> = {
  'object-map': 'exclusive-lock',
  'fast-diff': 'object-map',
  journaling: 'exclusive-lock',
};

export function fakeRbd(state: FakeState, nowMs: () => number): FakeRbdStore {
  const at = (place: PoolPlace, operation: string) => namespaceAt(state, place, operation);
  const find = (place: PoolPlace, image: string, operation: string): FakeImage => {
    const found = at(place, operation).images.get(image);
    if (!found) throw cephError('ENOENT', operation, image);
    return found;
  };
  return {
    create: (place, image, create) => createImage(state, place, image, create),
    info(place, image): RbdImageInfo | undefined {
      const found = at(place, 'rbd info').images.get(image);
      return (
        found && {
          id: found.id,
          sizeBytes: found.sizeBytes,
          features: [...found.features],
          objectSizeBytes: found.objectSizeBytes,
        }
      );
    },
    list: (place) => [...at(place, 'rbd list').images].map(([name, image]) => ({ id: image.id, name })),
    remove(place, image) {
      const { images } = at(place, 'rbd remove');
      const found = images.get(image);
      if (!found) return false;
      refuseInUse(found, image, 'rbd remove');
      images.delete(image);
      dropObjects(at(place, 'rbd remove'), image, found.id);
      return true;
    },
    resize(place, image, sizeBytes) {
      const found = find(place, image, 'rbd resize');
      if (sizeBytes < found.sizeBytes)
        throw cephError('EINVAL', 'rbd resize', `${image} has ${found.sizeBytes} bytes and is never shrunk`);
      found.sizeBytes = sizeBytes;
    },
    watchers: (place, image) =>
      find(place, image, 'rbd watchers').watchers.map((watcher) => ({ ...watcher })),
    metadataGet: (place, image, key) => find(place, image, 'rbd metadata get').metadata.get(key),
    metadataSet(place, image, key, value) {
      find(place, image, 'rbd metadata set').metadata.set(key, value);
    },
    createNamespace(place) {
      const name = place.namespace ?? '';
      if (name === '') throw cephError('EINVAL', 'rbd namespace create', 'no name');
      at(place, 'rbd namespace create');
      const { objects } = at({ pool: place.pool }, 'rbd namespace create');
      const known = objects.get('rbd_namespace') ?? newObject();
      known.omap.set(name, '');
      objects.set('rbd_namespace', known);
    },
    initPool(place) {
      at(place, 'rbd pool init').objects.set('rbd_info', newObject());
      state.pools.get(place.pool)?.applications.add('rbd');
    },
    ...trashOf(state, nowMs),
  };
}

function createImage(state: FakeState, place: PoolPlace, image: string, create: RbdCreateOptions): void {
  const namespace = namespaceAt(state, place, 'rbd create');
  requireRbdNamespace(state, place);
  if (namespace.images.has(image)) throw cephError('EEXIST', 'rbd create', image);
  for (const feature of create.features) {
    if (!featureOrder.includes(feature)) throw cephError('EINVAL', 'rbd create', `feature ${feature}`);
    const base = needs[feature];
    if (base !== undefined && !create.features.includes(base))
      throw cephError('EINVAL', 'rbd create', `${feature} needs ${base}`);
  }
  if (create.dataPool !== undefined && !state.pools.has(create.dataPool))
    throw cephError('ENOENT', 'rbd create', `data pool ${create.dataPool}`);
  const id = (state.nextImageId++).toString(16);
  namespace.images.set(image, {
    id,
    sizeBytes: create.sizeBytes,
    features: featureOrder.filter((feature) => create.features.includes(feature)),
    objectSizeBytes: create.objectSizeBytes ?? 4 * 1024 * 1024,
    dataPool: create.dataPool,
    snapshots: [],
    watchers: [],
    metadata: new Map(),
  });
  namespace.objects.set(`rbd_id.${image}`, newObject());
  namespace.objects.set(`rbd_header.${id}`, newObject());
}

const refuseInUse = (image: FakeImage, name: string, operation: string) => {
  if (image.watchers.length > 0) throw cephError('EBUSY', operation, name);
  if (image.snapshots.length > 0) throw cephError('ENOTEMPTY', operation, name);
};
const dropObjects = ({ objects }: FakeNamespace, name: string, id: string) => {
  objects.delete(`rbd_id.${name}`);
  objects.delete(`rbd_header.${id}`);
};

/** An RBD namespace is more than a RADOS one: it must have been made. */
function requireRbdNamespace(state: FakeState, { pool, namespace }: PoolPlace): void {
  if (!namespace) return;
  const known = namespaceAt(state, { pool }, 'rbd create').objects.get('rbd_namespace');
  if (!known?.omap.has(namespace)) throw cephError('ENOENT', 'rbd create', `namespace ${namespace}`);
}

function trashOf(
  state: FakeState,
  nowMs: () => number,
): Pick<FakeRbdStore, 'trashMove' | 'trashRemove' | 'trashList'> {
  const at = (place: PoolPlace, operation: string) => namespaceAt(state, place, operation);
  return {
    trashMove(place, image, delaySeconds) {
      const namespace = at(place, 'rbd trash move');
      const found = namespace.images.get(image);
      if (!found) return false;
      if (found.watchers.length > 0) throw cephError('EBUSY', 'rbd trash move', image);
      namespace.images.delete(image);
      namespace.objects.delete(`rbd_id.${image}`);
      namespace.trash.set(found.id, {
        name: image,
        image: found,
        expiresAtMs: nowMs() + delaySeconds * 1000,
      });
      return true;
    },
    trashRemove(place, id) {
      const namespace = at(place, 'rbd trash remove');
      const { trash } = namespace;
      const entry = trash.get(id);
      if (!entry) return false;
      if (entry.expiresAtMs > nowMs())
        throw cephError('EPERM', 'rbd trash remove', 'the deferment has not ended');
      refuseInUse(entry.image, entry.name, 'rbd trash remove');
      trash.delete(id);
      dropObjects(namespace, entry.name, id);
      return true;
    },
    trashList: (place) =>
      [...at(place, 'rbd trash list').trash].map(([id, entry]) => ({ id, name: entry.name })),
  };
}
