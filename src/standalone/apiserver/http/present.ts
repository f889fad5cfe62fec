import type { ApiObject, Json, JsonObject, KindInfo } from '../kind.ts';
import { toTable } from '../printer/table.ts';
import { apiVersionOf } from '../registry/kind-table.ts';
import type { ListPage } from '../registry/list.ts';
import type { Accepted } from './negotiate.ts';
import { jsonReply, listReply, type Reply } from './respond.ts';

export type IncludeObject = 'None' | 'Metadata' | 'Object';

export interface TableOptions {
  readonly includeObject: IncludeObject;
  readonly nowMs: () => number;
}

export function tableOptions(query: URLSearchParams, nowMs: () => number): TableOptions {
  const asked = query.get('includeObject');
  return { includeObject: asked === 'None' || asked === 'Object' ? asked : 'Metadata', nowMs };
}

const partials = new WeakMap<ApiObject, JsonObject>();

/** The object without spec and status, as metadata-only clients want it. */
export function partialMetadata(object: ApiObject): JsonObject {
  let partial = partials.get(object);
  if (!partial) {
    partial = {
      kind: 'PartialObjectMetadata',
      apiVersion: 'meta.k8s.io/v1',
      metadata: (object.metadata ?? {}) as Json,
    };
    partials.set(object, partial);
  }
  return partial;
}

export function presentObject(
  code: number,
  kind: KindInfo,
  object: ApiObject,
  accepted: Accepted,
  table: TableOptions,
): Reply {
  if (accepted.as === 'metadata') return jsonReply(code, partialMetadata(object), accepted.yaml);
  if (accepted.as === 'object') return jsonReply(code, object, accepted.yaml);
  const listMeta = { resourceVersion: object.metadata?.resourceVersion ?? '' };
  const { includeObject, nowMs } = table;
  const shown = toTable(kind, [object], { includeObject, listMeta, nowMs: nowMs(), headers: true });
  return jsonReply(code, shown, accepted.yaml);
}

export function presentList(kind: KindInfo, page: ListPage, accepted: Accepted, table: TableOptions): Reply {
  const { items, metadata } = page;
  if (accepted.as === 'table') {
    const { includeObject, nowMs } = table;
    const shown = toTable(kind, items, { includeObject, listMeta: metadata, nowMs: nowMs(), headers: true });
    return jsonReply(200, shown, accepted.yaml);
  }
  if (accepted.as === 'metadata')
    return listReply(
      { kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1', metadata },
      items.map(partialMetadata),
      accepted.yaml,
    );
  const head = { kind: kind.listKind, apiVersion: apiVersionOf(kind), metadata };
  return listReply(head, items, accepted.yaml);
}
