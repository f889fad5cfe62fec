import type { Logger } from '../../../lib/log.ts';
import { isEstablished } from '../admission/custom-definition.ts';
import type { ApiObject } from '../kind.ts';
import type { KindTable } from '../registry/kind-table.ts';
import type { WatchCache } from '../registry/watch-cache.ts';
import { kindsOfCrd } from '../schema/crd.ts';

export const crdStorage = 'apiextensions.k8s.io/customresourcedefinitions';

/** Keeps the table of kinds as the CRDs say: a change is served as soon as the cache shows it. */
export function serveCustomKinds(cache: WatchCache, kinds: KindTable, log: Logger): () => void {
  const crds = cache.of(crdStorage);
  const set = (name: string, crd: ApiObject | undefined) => {
    if (!crd || !isEstablished(crd)) return kinds.setCustom(name, []);
    try {
      kinds.setCustom(name, kindsOfCrd(crd).kinds);
    } catch (err) {
      log.error({ err, crd: name }, 'stored definition cannot be served');
    }
  };
  const snapshot = crds.snapshot();
  for (const name of snapshot?.keys ?? []) set(name, snapshot?.get(name));
  let cursor = crds.cursorNow();
  return crds.onChange(() => {
    for (;;) {
      const events = crds.read(cursor, 100);
      if (events === undefined) return void (cursor = crds.cursorNow());
      if (events.length === 0) return undefined;
      cursor += events.length;
      for (const event of events) set(event.key, event.type === 'DELETED' ? undefined : event.object);
    }
  });
}
