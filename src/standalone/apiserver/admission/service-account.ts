import type { Container, PodSpec, ServiceAccount, Volume } from 'kubernetes-types/core/v1.js';
import type { Clock } from '../../../lib/clock.ts';
import type { JsonObject } from '../kind.ts';
import { isObject } from '../registry/json.ts';
import { randomSuffix } from '../registry/object-meta.ts';
import type { AdmissionPlugin } from '../registry/request.ts';
import type { WatchCache } from '../registry/watch-cache.ts';
import { waitFor } from '../registry/wait.ts';
import { forbidden } from '../status.ts';

const mountPath = '/var/run/secrets/kubernetes.io/serviceaccount';
// A little over an hour, so that a token renewed at four fifths of its life is known from one of an hour.
const expirationSeconds = 3607;
const fileMode = 0o644;
const defaultAccountWaitMs = 2_000;

function tokenVolume(name: string): Volume {
  return {
    name,
    projected: {
      defaultMode: fileMode,
      sources: [
        { serviceAccountToken: { expirationSeconds, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
    },
  };
}

const mountedBy = (container: Container): boolean =>
  container.volumeMounts?.some((mount) => mount.mountPath === mountPath) === true;

function withToken(spec: PodSpec, random: () => number): void {
  const containers = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  const wanting = containers.filter((container) => !mountedBy(container));
  if (wanting.length === 0) return;
  const existing = spec.volumes?.find(({ name }) => name.startsWith('kube-api-access-'));
  const name = existing?.name ?? `kube-api-access-${randomSuffix(random)}`;
  if (!existing) spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)];
  for (const container of wanting)
    container.volumeMounts = [...(container.volumeMounts ?? []), { name, mountPath, readOnly: true }];
}

/** Every pod runs as a ServiceAccount that exists, and gets its token unless it says it wants none. */
export function serviceAccountAdmission(
  cache: WatchCache,
  clock: Clock,
  random: () => number,
): AdmissionPlugin {
  return {
    name: 'ServiceAccount',
    async admit({ kind, operation, object, namespace, name }) {
      if (operation !== 'CREATE' || kind.group !== '' || kind.plural !== 'pods') return;
      // A static pod's mirror stands for what runs already.
      if (object.metadata?.annotations?.['kubernetes.io/config.mirror'] !== undefined) return;
      const found = (object as JsonObject)['spec'];
      if (!isObject(found)) return;
      const spec = found as unknown as PodSpec;
      const accountName = spec.serviceAccountName || spec.serviceAccount || 'default';
      spec.serviceAccountName = accountName;
      spec.serviceAccount = accountName;
      const accounts = cache.of('core/serviceaccounts');
      const key = `${namespace}/${accountName}`;
      const isThere = () => accounts.get(key) !== undefined;
      if (!isThere()) await cache.fresh(AbortSignal.timeout(10_000));
      // A new namespace's own account is made a moment after it; manifests often bring both at once.
      if (!isThere() && accountName === 'default')
        await waitFor(clock, accounts.onChange, isThere, defaultAccountWaitMs, new AbortController().signal);
      const account = accounts.get(key) as ServiceAccount | undefined;
      if (!account)
        throw forbidden(
          kind,
          name,
          `error looking up service account ${namespace}/${accountName}: serviceaccount "${accountName}" not found`,
        );
      if (!spec.imagePullSecrets?.length && account.imagePullSecrets?.length)
        spec.imagePullSecrets = [...account.imagePullSecrets];
      if (spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true)
        withToken(spec, random);
    },
  };
}
