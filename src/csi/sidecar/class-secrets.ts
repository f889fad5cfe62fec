import type { Secret } from 'kubernetes-types/core/v1.js';
import { Secrets } from '../../api/core.ts';
import type { ObjectRef } from '../../api/resource.ts';
import type { Cache } from '../../kube/cache.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Secrets as SecretValues } from '../clusters.ts';

/** What a StorageClass's secrets are for, as in `csi.storage.k8s.io/<purpose>-secret-name`. */
export type SecretPurpose =
  | 'provisioner'
  | 'controller-publish'
  | 'controller-expand'
  | 'node-stage'
  | 'node-publish'
  | 'node-expand';

/** A wrong or missing secret; the message names the key and what would be right. */
export class SecretError extends Error {
  readonly code = 'CLASS_SECRET';
  override readonly name = 'SecretError';
}

export interface SecretTemplateValues {
  readonly pvName: string;
  readonly claim?: ObjectRef | undefined;
}

/** The Secret that a class names for a purpose, its `${pv.name}` and `${pvc...}` filled in; undefined where it names none. */
export function secretRef(
  parameters: Readonly<Record<string, string>>,
  purpose: SecretPurpose,
  values: SecretTemplateValues,
): ObjectRef | undefined {
  const nameKey = `csi.storage.k8s.io/${purpose}-secret-name`;
  const namespaceKey = `csi.storage.k8s.io/${purpose}-secret-namespace`;
  const name = parameters[nameKey];
  const namespace = parameters[namespaceKey];
  if (name === undefined && namespace === undefined) return undefined;
  if (!name || !namespace)
    throw new SecretError(
      `parameter "${name ? namespaceKey : nameKey}" is missing: ${purpose} secrets need both name and namespace`,
    );
  return { name: fill(nameKey, name, values), namespace: fill(namespaceKey, namespace, values) };
}

function fill(key: string, template: string, { pvName, claim }: SecretTemplateValues): string {
  const filled = template.replace(/\$\{([^}]*)\}/g, (whole, variable: string) => {
    if (variable === 'pv.name') return pvName;
    if (variable === 'pvc.name' && claim) return claim.name;
    if (variable === 'pvc.namespace' && claim?.namespace) return claim.namespace;
    throw new SecretError(
      `parameter "${key}": ${whole} is not known here; \${pv.name}, \${pvc.name} and \${pvc.namespace} are`,
    );
  });
  if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(filled))
    throw new SecretError(`parameter "${key}": ${JSON.stringify(filled)} is no valid name`);
  return filled;
}

/**
 * A Secret's values, decoded. They go into calls and nowhere else. `known` is a cache that may have it: one
 * that is missing there may have been made just now, so absence is asked for.
 */
export async function readSecret(
  client: KubeClient,
  ref: ObjectRef | undefined,
  signal: AbortSignal,
  known?: Cache<Secret>,
): Promise<SecretValues> {
  if (!ref) return {};
  const secret = known?.get(ref) ?? (await client.get(Secrets, ref, { signal }));
  if (!secret)
    throw new SecretError(
      `secret "${ref.namespace}/${ref.name}" does not exist: create it, or correct the StorageClass`,
    );
  return Object.fromEntries(
    Object.entries(secret.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
  );
}
