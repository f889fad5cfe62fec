import type { ApiObject, Json, JsonObject, KindInfo, PrinterColumn } from '../kind.ts';
import { ageOf } from './age.ts';
import { builtinPrinter } from './builtin-columns.ts';
import { jsonPath } from './json-path.ts';

export interface TableRequest {
  /** What comes with each row: `None`, `Metadata` or `Object`. */
  readonly includeObject: string;
  readonly listMeta: object;
  readonly nowMs: number;
  /** False after the first event of a watch, whose client knows the columns by then. */
  readonly headers: boolean;
}

const nameColumn: PrinterColumn = {
  name: 'Name',
  type: 'string',
  format: 'name',
  description: 'Name must be unique within a namespace.',
  priority: 0,
};

/** Objects as a meta.k8s.io/v1 Table: what `kubectl get` shows. */
export function toTable(kind: KindInfo, objects: readonly ApiObject[], request: TableRequest): JsonObject {
  const { includeObject, listMeta, nowMs, headers } = request;
  const columns = kind.builtin ? kind.columns : [nameColumn, ...kind.columns];
  const cells = kind.builtin
    ? (object: ApiObject) => builtinPrinter(kind.kind).cells(object, nowMs)
    : (object: ApiObject) => customCells(kind, object, nowMs);
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: listMeta as JsonObject,
    columnDefinitions: headers ? columns.map(definition) : null,
    rows: objects.map((object) => ({ cells: cells(object), ...rowObject(object, includeObject) })),
  };
}

const definition = ({ name, type, format, description, priority }: PrinterColumn): JsonObject => ({
  name,
  type,
  format: format ?? '',
  description: description ?? '',
  priority,
});

function rowObject(object: ApiObject, includeObject: string): JsonObject {
  if (includeObject === 'None') return {};
  if (includeObject === 'Object') return { object };
  const metadata = (object.metadata ?? {}) as JsonObject;
  return { object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata } };
}

const customCells = (kind: KindInfo, object: ApiObject, nowMs: number): Json[] => [
  object.metadata?.name ?? '',
  ...kind.columns.map(({ type, jsonPath: path }) => {
    const found = path === undefined ? [] : (jsonPath(path)?.(object) ?? []);
    return cellOf(type, found, nowMs);
  }),
];

const textOf = (value: Json): string =>
  typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value ?? '');

/** A value in its column's type; null, which is shown as nothing, where it has another one or is missing. */
function cellOf(type: string, values: readonly Json[], nowMs: number): Json {
  const [first] = values;
  if (first === undefined || first === null) return null;
  switch (type) {
    case 'integer':
      return typeof first === 'number' ? Math.trunc(first) : null;
    case 'number':
      return typeof first === 'number' ? first : null;
    case 'boolean':
      return typeof first === 'boolean' ? first : null;
    case 'date':
      if (typeof first !== 'string') return null;
      return Number.isNaN(Date.parse(first)) ? '<invalid>' : ageOf(first, nowMs);
    default:
      return values.map(textOf).join(' ');
  }
}
