import { createObject } from '../registry/create.ts';
import { deleteObject, deleteRequest } from '../registry/delete.ts';
import { getObject, listObjects } from '../registry/list.ts';
import { patchObject, patchTypes } from '../registry/patch.ts';
import { changeScale, getScale } from '../registry/scale.ts';
import { updateObject, type WritePart } from '../registry/update.ts';
import { watchObjects } from '../registry/watch.ts';
import { jsonPatch } from '../patch/json-patch.ts';
import { mergePatch } from '../patch/merge-patch.ts';
import type { ApiObject, Json, JsonObject } from '../kind.ts';
import {
  badRequest,
  deletedStatus,
  methodNotAllowed,
  pageNotFound,
  unsupportedMediaType,
} from '../status.ts';
import { contentTypeOf, readBody, readObject } from './body.ts';
import { writeOptions, type Answer, type Exchange } from './exchange.ts';
import { negotiate } from './negotiate.ts';
import { presentList, presentObject, tableOptions } from './present.ts';
import { jsonReply } from './respond.ts';
import { isTrue } from './route.ts';
import { selectionOf } from './selection.ts';
import { watchLines } from './watch-stream.ts';

// Kinds whose finished deletion answers the object, as Kubernetes has it; the others answer a Status.
const answersDeleted = new Set([
  'pods',
  'services',
  'serviceaccounts',
  'persistentvolumes',
  'persistentvolumeclaims',
  'podtemplates',
  'resourcequotas',
]);

const minWatchMs = 1_800_000;
const maxDeletedAtOnce = 50;

/** The generic verbs on the object itself, `status` and `scale`. */
export async function handleResource(exchange: Exchange): Promise<Answer> {
  const { route, kind, verb } = exchange;
  if (route.subresource === 'scale') return await handleScale(exchange);
  if (route.subresource !== '' && !(route.subresource === 'status' && kind.subresources.status))
    throw pageNotFound();
  if (!kind.verbs.includes(verb)) throw methodNotAllowed(kind, verb);
  switch (verb) {
    case 'get':
      return await get(exchange);
    case 'list':
      return await list(exchange);
    case 'watch':
      return await watch(exchange);
    case 'create':
      return await create(exchange);
    case 'update':
      return await update(exchange);
    case 'patch':
      return await patch(exchange);
    case 'delete':
      return await remove(exchange);
    case 'deletecollection':
      return await removeCollection(exchange);
    default:
      throw methodNotAllowed(kind, verb);
  }
}

const nameIn = ({ route }: Exchange): string => {
  if (route.name === undefined) throw badRequest('name must be provided');
  return route.name;
};

function present(exchange: Exchange, code: number, object: ApiObject): Answer {
  const { kind, req, query, deps } = exchange;
  const accepted = negotiate(req.headers.accept, true);
  return presentObject(
    code,
    kind,
    object,
    accepted,
    tableOptions(query, () => deps.clock.now()),
  );
}

async function get(exchange: Exchange): Promise<Answer> {
  const { deps, kind, route, caller, query } = exchange;
  const version = query.get('resourceVersion') ?? undefined;
  const object = await getObject(deps, kind, route.namespace, nameIn(exchange), caller.signal, version);
  return present(exchange, 200, object);
}

async function list(exchange: Exchange): Promise<Answer> {
  const { deps, kind, route, caller, query, req } = exchange;
  const accepted = negotiate(req.headers.accept, true);
  const selection = selectionOf(kind, route.namespace, undefined, query);
  const limit = Number(query.get('limit') ?? 0);
  if (!Number.isInteger(limit) || limit < 0)
    throw badRequest('limit must be a whole number that is not negative');
  const page = await listObjects(
    deps,
    kind,
    selection,
    {
      limit: limit === 0 ? undefined : limit,
      continueToken: query.get('continue') ?? undefined,
      resourceVersion: query.get('resourceVersion') ?? undefined,
      resourceVersionMatch: query.get('resourceVersionMatch') ?? undefined,
    },
    caller.signal,
  );
  return presentList(
    kind,
    page,
    accepted,
    tableOptions(query, () => deps.clock.now()),
  );
}

async function watch(exchange: Exchange): Promise<Answer> {
  const { deps, kind, route, caller, query, req } = exchange;
  const accepted = negotiate(req.headers.accept, true);
  const selection = selectionOf(kind, route.namespace, route.name, query);
  const asked = Number(query.get('timeoutSeconds') ?? 0);
  const timeoutMs = asked > 0 ? asked * 1000 : minWatchMs * (1 + deps.random());
  const initial = query.get('sendInitialEvents');
  const frames = watchObjects(
    deps,
    kind,
    selection,
    {
      resourceVersion: query.get('resourceVersion') ?? undefined,
      resourceVersionMatch: query.get('resourceVersionMatch') ?? undefined,
      sendInitialEvents: initial === null ? undefined : isTrue(initial),
      allowBookmarks: isTrue(query.get('allowWatchBookmarks')),
      timeoutMs,
    },
    caller.signal,
  );
  // The first batch is empty; a watch that cannot be is refused before it.
  await frames.next();
  const table = tableOptions(query, () => deps.clock.now());
  return {
    code: 200,
    contentType: 'application/json',
    stream: watchLines(kind, accepted, table, frames),
  };
}

async function create(exchange: Exchange): Promise<Answer> {
  const { deps, kind, route, caller, req } = exchange;
  if (route.name !== undefined) throw methodNotAllowed(kind, 'create');
  if (kind.namespaced && route.namespace === undefined)
    throw badRequest('an empty namespace may not be set during creation');
  const body = await readObject(req, caller.signal);
  const object = await createObject(deps, kind, route.namespace, body, writeOptions(exchange), caller);
  return present(exchange, 201, object);
}

async function update(exchange: Exchange): Promise<Answer> {
  const { deps, kind, route, caller, req } = exchange;
  const name = nameIn(exchange);
  const body = await readObject(req, caller.signal);
  const part = route.subresource as WritePart;
  const options = writeOptions(exchange);
  return present(
    exchange,
    200,
    await updateObject(deps, kind, route.namespace, name, part, body, options, caller),
  );
}

async function patch(exchange: Exchange): Promise<Answer> {
  const { deps, kind, route, caller, req, query } = exchange;
  const name = nameIn(exchange);
  const contentType = contentTypeOf(req);
  const options = writeOptions(exchange);
  if (contentType === patchTypes.apply && !query.get('fieldManager'))
    throw badRequest('fieldManager is required for apply patch');
  if (contentType !== patchTypes.apply && query.get('force') !== null)
    throw badRequest('force: Forbidden: may not be specified for non-apply patch');
  const text = await readBody(req, caller.signal);
  const { object, created } = await patchObject(deps, {
    kind,
    namespace: route.namespace,
    name,
    part: route.subresource as WritePart,
    request: { contentType, text, force: isTrue(query.get('force')) },
    options,
    caller,
  });
  return present(exchange, created ? 201 : 200, object);
}

async function remove(exchange: Exchange): Promise<Answer> {
  const { deps, kind, route, caller, req, query } = exchange;
  if (route.subresource !== '') throw methodNotAllowed(kind, 'delete');
  const name = nameIn(exchange);
  const request = deleteRequest(await readObject(req, caller.signal), query);
  const { object, removed } = await deleteObject(deps, kind, route.namespace, name, request, caller);
  if (!removed || answersDeleted.has(kind.plural)) return present(exchange, 200, object);
  return jsonReply(200, deletedStatus(kind, name, object.metadata?.uid ?? ''));
}

async function removeCollection(exchange: Exchange): Promise<Answer> {
  const { deps, kind, route, caller, req, query } = exchange;
  if (kind.namespaced && route.namespace === undefined) throw methodNotAllowed(kind, 'deletecollection');
  const request = deleteRequest(await readObject(req, caller.signal), query);
  const selection = selectionOf(kind, route.namespace, undefined, query);
  const page = await listObjects(deps, kind, selection, {}, caller.signal);
  const items: ApiObject[] = [];
  for (let i = 0; i < page.items.length; i += maxDeletedAtOnce) {
    const batch = page.items.slice(i, i + maxDeletedAtOnce);
    const deleted = await Promise.all(
      batch.map((object) =>
        deleteObject(
          deps,
          kind,
          object.metadata?.namespace,
          object.metadata?.name ?? '',
          request,
          caller,
        ).catch((error: unknown) => {
          // Someone else deleted it first: that is what was asked for.
          if ((error as { reason?: string }).reason === 'NotFound') return undefined;
          throw error;
        }),
      ),
    );
    for (const one of deleted) if (one) items.push(one.object);
  }
  const accepted = negotiate(req.headers.accept, true);
  return presentList(
    kind,
    { items, metadata: page.metadata },
    accepted,
    tableOptions(query, () => deps.clock.now()),
  );
}

async function handleScale(exchange: Exchange): Promise<Answer> {
  const { deps, kind, route, caller, verb } = exchange;
  if (!kind.subresources.scale) throw pageNotFound();
  const name = nameIn(exchange);
  if (verb === 'get') return jsonReply(200, await getScale(deps, kind, route.namespace, name, caller.signal));
  if (verb !== 'update' && verb !== 'patch') throw methodNotAllowed(kind, verb);
  const options = writeOptions(exchange);
  const change = verb === 'update' ? await replacedScale(exchange) : await patchedScale(exchange);
  return jsonReply(200, await changeScale(deps, kind, route.namespace, name, options, caller, change));
}

async function replacedScale({ req, caller }: Exchange): Promise<(scale: JsonObject) => unknown> {
  const body = await readObject(req, caller.signal);
  return () => body;
}

async function patchedScale({ req, caller }: Exchange): Promise<(scale: JsonObject) => unknown> {
  const type = contentTypeOf(req);
  const text = await readBody(req, caller.signal);
  if (type !== patchTypes.json && type !== patchTypes.merge && type !== patchTypes.strategic)
    throw unsupportedMediaType([patchTypes.json, patchTypes.merge, patchTypes.strategic]);
  const body = JSON.parse(text) as Json;
  // A Scale has no lists, so merge and strategic merge are the same.
  return (scale) =>
    type === patchTypes.json ? jsonPatch(scale, body as Json[]) : mergePatch(scale, body as JsonObject);
}
