import type { ApiObject, JsonObject, KindInfo } from '../../kind.ts';
export function toTable(
  _kind: KindInfo,
  objects: readonly ApiObject[],
  o: { includeObject: string; listMeta: object; nowMs: number; headers: boolean },
): JsonObject {
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: o.listMeta as JsonObject,
    columnDefinitions: o.headers
      ? [
          { name: 'Name', type: 'string', format: 'name', description: '', priority: 0 },
          { name: 'Created At', type: 'date', format: '', description: '', priority: 0 },
        ]
      : [],
    rows: objects.map((x) => ({
      cells: [x.metadata?.name ?? '', x.metadata?.creationTimestamp ?? ''],
      object: {
        kind: 'PartialObjectMetadata',
        apiVersion: 'meta.k8s.io/v1',
        metadata: x.metadata as unknown as JsonObject,
      },
    })),
  };
}
