import type { Logger } from '../../../lib/log.ts';
import { instancesFinalizer } from '../admission/custom-definition.ts';
import type { ApiObject, KindInfo } from '../kind.ts';
import { commitChange } from '../registry/commit.ts';
import { deleteObject } from '../registry/delete.ts';
import { metaOf } from '../registry/json.ts';
import { cloneJson } from '../../../lib/clone-json.ts';
import { walk } from '../registry/list.ts';
import type { RegistryDeps } from '../registry/request.ts';
import { storageOf } from '../registry/storage-form.ts';
import { nextOf } from '../registry/wait.ts';
import { isFinished } from '../registry/update.ts';
import { isApiError } from '../status.ts';
import { crdStorage } from './served-kinds.ts';

const lookAgainMs = 500;
const deletedAtOnce = 100;

/** Deletes what is left of a kind; whether nothing is. */
async function emptied(deps: RegistryDeps, kind: KindInfo, signal: AbortSignal): Promise<boolean> {
  const instances = deps.cache.of(storageOf(kind));
  const snapshot = instances.snapshot();
  const live: ApiObject[] = [];
  if (snapshot)
    walk(kind, snapshot, { namespace: undefined }, undefined, (object) => {
      if (!object.metadata?.deletionTimestamp) live.push(object);
      return live.length < deletedAtOnce;
    });
  for (const { metadata } of live) {
    const gone = deleteObject(
      deps,
      kind,
      metadata?.namespace,
      metadata?.name ?? '',
      { dryRun: false },
      { signal },
    );
    await gone.catch((error: unknown) => {
      if (!isApiError(error, 'NotFound')) throw error;
    });
  }
  await deps.cache.fresh(signal);
  return instances.size === 0;
}

async function finish(deps: RegistryDeps, crd: ApiObject, signal: AbortSignal): Promise<void> {
  const { group, names } = (crd as unknown as { spec: { group: string; names: { plural: string } } }).spec;
  const kind = deps.kinds.anyVersion(group, names.plural);
  if (kind && !(await emptied(deps, kind, signal))) return;
  const crdKind = deps.kinds.byKind('apiextensions.k8s.io/v1', 'CustomResourceDefinition');
  if (!crdKind) return;
  const name = crd.metadata?.name ?? '';
  await commitChange(deps, crdKind, undefined, name, { dryRun: false, signal }, (stored) => {
    const next = cloneJson(stored);
    const metadata = metaOf(next);
    metadata.finalizers = (metadata.finalizers ?? []).filter((one) => one !== instancesFinalizer);
    return isFinished(next) ? { remove: next } : { put: next };
  });
}

/**
 * Ends definitions that are being deleted: deletes their objects, waits until finalizers let the last one
 * go, then lets the definition go. Runs until the signal aborts.
 */
export async function cleanUpDefinitions(
  deps: RegistryDeps,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const crds = deps.cache.of(crdStorage);
  while (!signal.aborted) {
    const snapshot = crds.snapshot();
    const ending = (snapshot?.keys ?? [])
      .map((key) => snapshot?.get(key))
      .filter((crd) => crd !== undefined)
      .filter(
        ({ metadata }) => metadata?.deletionTimestamp && metadata.finalizers?.includes(instancesFinalizer),
      );
    for (const crd of ending)
      await finish(deps, crd, signal).catch((err: unknown) => {
        if (!signal.aborted && !isApiError(err, 'NotFound'))
          log.warn({ err, crd: crd.metadata?.name }, 'definition cannot be ended yet');
      });
    // While one is ending, its objects may be held: look again soon.
    await nextOf(deps.clock, crds.onChange, ending.length > 0 ? lookAgainMs : undefined, signal);
  }
}
