import { badRequest, conflict } from '../status.ts';
import type { JsonObject } from '../kind.ts';
import { readObject } from '../http/body.ts';
import { writeOptions, type Answer, type Exchange } from '../http/exchange.ts';
import { jsonReply } from '../http/respond.ts';
import { commitChange } from '../registry/commit.ts';
import { isObject, valueAt } from '../registry/json.ts';
import { cloneJson } from '../../../lib/clone-json.ts';
import { isFinished } from '../registry/update.ts';

/** PUT namespaces/finalize: the namespace controller gives up its hold on an emptied namespace. */
export async function finalizeNamespace(exchange: Exchange): Promise<Answer> {
  const { deps, kind, route, caller, req } = exchange;
  const name = route.name ?? '';
  const body = await readObject(req, caller.signal);
  const finalizers = valueAt(body, 'spec.finalizers') ?? [];
  const version = valueAt(body, 'metadata.resourceVersion');
  if (!Array.isArray(finalizers)) throw badRequest('spec.finalizers must be a list');
  const { dryRun } = writeOptions(exchange);
  const { object } = await commitChange(
    deps,
    kind,
    undefined,
    name,
    { dryRun, signal: caller.signal },
    (live) => {
      if (typeof version === 'string' && version !== '' && version !== live.metadata?.resourceVersion)
        throw conflict(kind, name);
      const next = cloneJson(live);
      const spec = (next as JsonObject)['spec'];
      (next as JsonObject)['spec'] = { ...(isObject(spec) ? spec : {}), finalizers };
      return isFinished(next) ? { remove: next } : { put: next };
    },
  );
  return jsonReply(200, object);
}
