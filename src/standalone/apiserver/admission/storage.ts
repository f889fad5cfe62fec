import type { PersistentVolumeClaim } from 'kubernetes-types/core/v1.js';
import type { StorageClass } from 'kubernetes-types/storage/v1.js';
import { compareQuantity, parseQuantity } from '../../../lib/quantity.ts';
import type { JsonObject } from '../kind.ts';
import { isObject, metaOf } from '../registry/json.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../registry/request.ts';
import type { WatchCache } from '../registry/watch-cache.ts';
import { forbidden } from '../status.ts';

const classStorage = 'storage.k8s.io/storageclasses';
const betaClass = 'volume.beta.kubernetes.io/storage-class';
const defaultMarks = [
  'storageclass.kubernetes.io/is-default-class',
  'storageclass.beta.kubernetes.io/is-default-class',
];

const isCore = ({ kind }: AdmissionRequest, plural: string) => kind.group === '' && kind.plural === plural;

/** The class that claims without one get: of several the newest, then the first by name. */
export function defaultClass(cache: WatchCache): StorageClass | undefined {
  const snapshot = cache.of(classStorage).snapshot();
  const marked = (snapshot?.keys ?? [])
    .map((key) => snapshot?.get(key) as StorageClass | undefined)
    .filter((found) => found !== undefined)
    .filter(({ metadata }) => defaultMarks.some((mark) => metadata?.annotations?.[mark] === 'true'));
  const time = (found: StorageClass) => Date.parse(String(found.metadata?.creationTimestamp ?? 0));
  // Keys are in order, and sorting is stable.
  return marked.sort((a, b) => time(b) - time(a))[0];
}

/** Gives a claim that names no class the default one. */
export function defaultStorageClass(cache: WatchCache): AdmissionPlugin {
  return {
    name: 'DefaultStorageClass',
    admit(request) {
      if (request.operation !== 'CREATE' || !isCore(request, 'persistentvolumeclaims')) return;
      const spec = (request.object as JsonObject)['spec'];
      if (!isObject(spec)) return;
      const said = spec['storageClassName'] ?? request.object.metadata?.annotations?.[betaClass];
      // An empty name is a wish too: no class.
      if (said !== undefined && said !== null) return;
      const name = defaultClass(cache)?.metadata?.name;
      if (name !== undefined) spec['storageClassName'] = name;
    },
  };
}

const protections: Readonly<Record<string, string>> = {
  persistentvolumeclaims: 'kubernetes.io/pvc-protection',
  persistentvolumes: 'kubernetes.io/pv-protection',
};

/** New claims and volumes are held until their protection controller finds them unused. */
export const storageInUseProtection: AdmissionPlugin = {
  name: 'StorageObjectInUseProtection',
  admit(request) {
    const finalizer = request.kind.group === '' ? protections[request.kind.plural] : undefined;
    if (request.operation !== 'CREATE' || finalizer === undefined) return;
    const metadata = metaOf(request.object);
    if (!metadata.finalizers?.includes(finalizer))
      metadata.finalizers = [...(metadata.finalizers ?? []), finalizer];
  },
};

/** A claim may ask for more only where its class can give it. */
export function claimResize(cache: WatchCache): AdmissionPlugin {
  return {
    name: 'PersistentVolumeClaimResize',
    judge(request) {
      const { kind, live, object, operation, name } = request;
      if (operation !== 'UPDATE' || !live || !isCore(request, 'persistentvolumeclaims')) return;
      const asked = (claim: unknown) =>
        (claim as PersistentVolumeClaim).spec?.resources?.requests?.['storage'];
      const before = parseQuantity(asked(live) ?? '0');
      const after = parseQuantity(asked(object) ?? '0');
      if (!before || !after || compareQuantity(after, before) <= 0) return;
      const claim = live as PersistentVolumeClaim;
      if (claim.status?.phase !== 'Bound')
        throw forbidden(kind, name, 'Only bound persistent volume claims can be expanded');
      const className = claim.metadata?.annotations?.[betaClass] ?? claim.spec?.storageClassName ?? '';
      const found = cache.of(classStorage).get(className) as StorageClass | undefined;
      if (!found?.allowVolumeExpansion)
        throw forbidden(
          kind,
          name,
          'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize',
        );
    },
  };
}
