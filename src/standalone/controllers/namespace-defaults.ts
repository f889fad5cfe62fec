import type { ConfigMap, Namespace, ServiceAccount } from 'kubernetes-types/core/v1.js';
import { ConfigMaps, Namespaces, ServiceAccounts } from '../../api/core.ts';
import type { KubeObject, Resource, Stored } from '../../api/resource.ts';
import { done } from '../../control/outcome.ts';
import type { ControllerSpec } from '../../control/reconciler.ts';
import { triggeredBy } from '../../control/trigger.ts';
import { isAlreadyExists, isNamespaceTerminating, isNotFound } from '../../kube/errors.ts';
import { patchDifference } from '../../kube/patch.ts';
import type { Environment } from './environment.ts';

const accountName = 'default';
const caName = 'kube-root-ca.crt';

/** Gives every namespace the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`. */
export function namespaceDefaultsController(environment: Environment): ControllerSpec<Namespace> {
  const { caches, client, rootCa } = environment;
  const accountSelection = { fieldSelector: `metadata.name=${accountName}` };
  const caSelection = { fieldSelector: `metadata.name=${caName}` };
  const accounts = caches.cache(ServiceAccounts, accountSelection);
  const cas = caches.cache(ConfigMaps, caSelection);
  const namespaceOf = (object: Stored<KubeObject>) => [{ name: object.metadata.namespace ?? '' }];

  const create = async <T extends KubeObject>(kind: Resource<T>, object: T, signal: AbortSignal) => {
    try {
      await client.create(kind, object, { signal });
    } catch (error) {
      // Somebody was faster, or the namespace goes.
      if (!isAlreadyExists(error) && !isNamespaceTerminating(error) && !isNotFound(error)) throw error;
    }
  };
  return {
    resource: Namespaces,
    triggers: [
      triggeredBy(ServiceAccounts, namespaceOf, accountSelection),
      triggeredBy(ConfigMaps, namespaceOf, caSelection),
    ],
    reconciler: {
      name: 'namespace-defaults',
      async reconcile(object, { signal }) {
        if (object.metadata.deletionTimestamp !== undefined) return done;
        const namespace = object.metadata.name;
        if (!accounts.get({ namespace, name: accountName })) {
          const account: ServiceAccount = { metadata: { namespace, name: accountName } };
          await create(ServiceAccounts, account, signal);
        }
        const ca = cas.get({ namespace, name: caName });
        const data = { 'ca.crt': rootCa };
        if (!ca) {
          const annotations = {
            'kubernetes.io/description':
              'The CA that signed the certificate of the API server, for clients in pods.',
          };
          const wanted: ConfigMap = { metadata: { namespace, name: caName, annotations }, data };
          await create(ConfigMaps, wanted, signal);
        } else {
          // The CA's text is ours: an instance whose keys were renewed shows the new one.
          await patchDifference(client, ConfigMaps, ca, { ...ca, data }, { signal });
        }
        return done;
      },
    },
  };
}
