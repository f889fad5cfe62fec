import { ApiError, notFound } from '../status.ts';
import type { JsonObject } from '../kind.ts';
import { metaOf } from '../registry/json.ts';
import type { KindCache } from '../registry/kind-cache.ts';
import type { AdmissionPlugin } from '../registry/request.ts';
import type { WatchCache } from '../registry/watch-cache.ts';

export const namespaceStorage = 'core/namespaces';
const namespacesName = { group: '', plural: 'namespaces' };
export const permanentNamespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

/**
 * Nothing is made in a namespace that is absent or going away; a new namespace gets its label, its phase
 * and the finalizer that lets the namespace controller empty it first.
 */
export function namespaceLifecycle(cache: WatchCache): AdmissionPlugin {
  const namespaces: KindCache = cache.of(namespaceStorage);
  return {
    name: 'NamespaceLifecycle',
    admit({ kind, object, operation }) {
      if (kind.group !== '' || kind.plural !== 'namespaces') return;
      const metadata = metaOf(object);
      metadata.labels = { ...metadata.labels, 'kubernetes.io/metadata.name': metadata.name ?? '' };
      if (operation !== 'CREATE') return;
      (object as JsonObject)['spec'] = { finalizers: ['kubernetes'] };
      (object as JsonObject)['status'] = { phase: 'Active' };
    },
    async judge({ kind, namespace, name, operation }) {
      if (operation !== 'CREATE' || namespace === undefined) return;
      let found = namespaces.get(namespace);
      if (!found) {
        await cache.fresh(AbortSignal.timeout(10_000));
        found = namespaces.get(namespace);
      }
      if (!found) throw notFound(namespacesName, namespace);
      if (!found.metadata?.deletionTimestamp) return;
      throw new ApiError(
        403,
        'Forbidden',
        `${kind.plural} "${name}" is forbidden: unable to create new content in namespace ${namespace} because it is being terminated`,
        {
          name,
          kind: kind.plural,
          causes: [
            {
              reason: 'NamespaceTerminating',
              message: `namespace ${namespace} is being terminated`,
              field: 'metadata.namespace',
            },
          ],
        },
      );
    },
  };
}
