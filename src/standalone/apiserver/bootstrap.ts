import { createObject } from './registry/create.ts';
import type { Caller, RegistryDeps } from './registry/request.ts';
import { mastersGroup } from './auth/access.ts';
import { permanentNamespaces } from './admission/namespace-lifecycle.ts';
import { isApiError } from './status.ts';
import type { JsonObject } from './kind.ts';

export const ownUser = { name: 'system:apiserver', groups: [mastersGroup] };
const options = { dryRun: false, fieldManager: 'holdfast-apiserver', fieldValidation: 'Ignore' as const };

export const ownCaller = (signal: AbortSignal): Caller => ({ user: ownUser, signal, warn: () => undefined });

/** Makes an object where it is absent; says nothing of one that is there. */
export async function ensureObject(
  deps: RegistryDeps,
  apiVersion: string,
  kindName: string,
  object: JsonObject,
  signal: AbortSignal,
): Promise<void> {
  const kind = deps.kinds.byKind(apiVersion, kindName);
  if (!kind) throw new Error(`the API has no kind ${kindName} in ${apiVersion}`);
  const namespace = (object['metadata'] as JsonObject)['namespace'] as string | undefined;
  try {
    await createObject(deps, kind, namespace, object, options, ownCaller(signal));
  } catch (error) {
    if (!isApiError(error, 'AlreadyExists')) throw error;
  }
}

/** What every cluster has from its first moment. */
export async function bootstrap(deps: RegistryDeps, signal: AbortSignal): Promise<void> {
  await Promise.all(
    permanentNamespaces.map((name) => ensureObject(deps, 'v1', 'Namespace', { metadata: { name } }, signal)),
  );
}
