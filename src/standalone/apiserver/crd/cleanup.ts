import type { Logger } from '../../../lib/log.ts';
import { instancesFinalizer } from '../admission/custom-definition.ts';
import type { ApiObject, KindInfo } from '../kind.ts';
import { commitChange } from '../registry/commit.ts';
import { deleteObject } from '../registry/delete.ts';
import { cloneJson, metaOf } from '../registry/json.ts';
import { walk } from '../registry/list.ts';
import type { RegistryDeps } from '../registry/request.ts';
import { storageOf } from '../registry/storage-form.ts';
import { isFinished } from '../registry/update.ts';
import { isApiError } from '../status.ts';
import { crdStorage } from './served-kinds.ts';

const lookAgainMs = 500;
const deletedAtOnce = 100;

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

  async function empty(kind: KindInfo): Promise<boolean> {
    const instances = deps.cache.of(storageOf(kind));
    const snapshot = instances.snapshot();
    const live: ApiObject[] = [];
    if (snapshot)
      walk(kind, snapshot, { namespace: undefined }, undefined, (object) => {
        if (!object.metadata?.deletionTimestamp) live.push(object);
        return live.length < deletedAtOnce;
      });
    for (const { metadata } of live)
      await deleteObject(
        deps,
        kind,
        metadata?.namespace,
        metadata?.name ?? '',
        { dryRun: false },
        { signal },
      ).catch((error: unknown) => {
        if (!isApiError(error, 'NotFound')) throw error;
      });
    await deps.cache.fresh(signal);
    return instances.size === 0;
  }

  async function finish(crd: ApiObject): Promise<void> {
    const { group, names } = (crd as unknown as { spec: { group: string; names: { plural: string } } }).spec;
    const kind = deps.kinds.anyVersion(group, names.plural);
    if (kind && !(await empty(kind))) return;
    const crdKind = deps.kinds.byKind('apiextensions.k8s.io/v1', 'CustomResourceDefinition');
    if (!crdKind) return;
    await commitChange(
      deps,
      crdKind,
      undefined,
      crd.metadata?.name ?? '',
      { dryRun: false, signal },
      (stored) => {
        const next = cloneJson(stored);
        const metadata = metaOf(next);
        metadata.finalizers = (metadata.finalizers ?? []).filter((name) => name !== instancesFinalizer);
        return isFinished(next) ? { remove: next } : { put: next };
      },
    );
  }

  while (!signal.aborted) {
    const snapshot = crds.snapshot();
    const ending = (snapshot?.keys ?? [])
      .map((key) => snapshot?.get(key))
      .filter(
        (crd) => crd?.metadata?.deletionTimestamp && crd.metadata.finalizers?.includes(instancesFinalizer),
      );
    for (const crd of ending)
      await finish(crd as ApiObject).catch((err: unknown) => {
        if (!signal.aborted && !isApiError(err, 'NotFound'))
          log.warn({ err, crd: crd?.metadata?.name }, 'definition cannot be ended yet');
      });
    await nextLook(deps, ending.length > 0, signal);
  }

  /** Sleeps until a definition changes; while one is ending, looks again soon, for its objects may be held. */
  async function nextLook({ clock }: RegistryDeps, busy: boolean, until: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = new AbortController();
      const end = () => {
        stop();
        until.removeEventListener('abort', end);
        timer.abort(new Error('no longer needed'));
        resolve();
      };
      const stop = crds.onChange(end);
      until.addEventListener('abort', end, { once: true });
      if (busy) clock.sleep(lookAgainMs, timer.signal).then(end, () => undefined);
      if (until.aborted) end();
    });
  }
}
