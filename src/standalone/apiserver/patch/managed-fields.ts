import type { ApiObject, Json, JsonObject } from '../kind.ts';
import { isJsonObject } from '../schema/walk.ts';
import {
  difference,
  emptySet,
  fromFieldsV1,
  isEmptySet,
  toFieldsV1,
  union,
  type FieldSet,
} from './field-set.ts';

/** One entry of metadata.managedFields: who owns which fields, and by which kind of write. */
export interface Manager {
  readonly name: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource: string;
  /** RFC 3339. */
  readonly time: string | undefined;
  readonly fields: FieldSet;
}

/** Who a write is by; several entries of one name differ by how they wrote. */
export type ManagerId = Pick<Manager, 'name' | 'operation' | 'apiVersion' | 'subresource'>;

/** Whether two entries are one. An applier is the same one whatever version it applies. */
export const isSameManager = (a: ManagerId, b: ManagerId): boolean =>
  a.name === b.name &&
  a.operation === b.operation &&
  a.subresource === b.subresource &&
  (a.operation === 'Apply' || a.apiVersion === b.apiVersion);

/** Reads metadata.managedFields; undefined where an entry makes no sense. */
export function readManagers(entries: unknown): Manager[] | undefined {
  if (entries === undefined || entries === null) return [];
  if (!Array.isArray(entries)) return undefined;
  const managers: Manager[] = [];
  for (const entry of entries as Json[]) {
    if (!isJsonObject(entry)) return undefined;
    const { manager = '', operation, apiVersion, subresource = '', time } = entry;
    const fields = fromFieldsV1(entry['fieldsV1'] ?? {});
    const isKnown = operation === 'Apply' || operation === 'Update';
    const isText =
      typeof manager === 'string' && typeof apiVersion === 'string' && typeof subresource === 'string';
    if (!fields || !isKnown || !isText || entry['fieldsType'] !== 'FieldsV1') return undefined;
    managers.push({
      name: manager,
      operation,
      apiVersion,
      subresource,
      time: typeof time === 'string' ? time : undefined,
      fields,
    });
  }
  return managers;
}

const compareTexts = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The object with these managers, without those that own nothing. */
export function withManagers(object: ApiObject, managers: readonly Manager[]): ApiObject {
  const entries = managers
    .filter(({ fields }) => !isEmptySet(fields))
    .toSorted(
      (a, b) =>
        compareTexts(a.operation, b.operation) ||
        compareTexts(a.time ?? '', b.time ?? '') ||
        compareTexts(a.name, b.name) ||
        compareTexts(a.apiVersion, b.apiVersion) ||
        compareTexts(a.subresource, b.subresource),
    )
    .map(({ name, operation, apiVersion, subresource, time, fields }): JsonObject => ({
      manager: name,
      operation,
      apiVersion,
      ...(time !== undefined && { time }),
      fieldsType: 'FieldsV1',
      fieldsV1: toFieldsV1(fields),
      ...(subresource !== '' && { subresource }),
    }));
  const bare = withoutManagers(object);
  if (entries.length === 0) return bare;
  return { ...bare, metadata: { ...bare.metadata, managedFields: entries } } as unknown as ApiObject;
}

/** The object without its managedFields. */
export function withoutManagers(object: ApiObject): ApiObject {
  if (object.metadata?.managedFields === undefined) return object;
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata } as ApiObject;
}

const ownedByNobody = ((): FieldSet => {
  const root = emptySet();
  const metadata = emptySet(true);
  for (const field of ['apiVersion', 'kind']) root.children.set(`f:${field}`, emptySet(true));
  root.children.set('f:metadata', metadata);
  const fields = 'name namespace creationTimestamp selfLink uid generation managedFields resourceVersion';
  for (const field of fields.split(' ')) metadata.children.set(`f:${field}`, emptySet(true));
  return root;
})();

/**
 * The fields of a set that can have an owner in this kind of write: none of the server's own, no status in a
 * write of the object where status is a subresource, nothing but the status in a write of that.
 */
export function ownable(fields: FieldSet, subresource: string, hasStatus: boolean): FieldSet {
  const kept = difference(fields, ownedByNobody);
  if (subresource !== 'status' && !hasStatus) return kept;
  const children = [...kept.children].filter(
    ([element]) => (element === 'f:status') === (subresource === 'status'),
  );
  return { owned: kept.owned, children: new Map(children) };
}

const maxUpdaters = 10;
const bucketName = 'ancient-changes';

/** Puts the oldest updaters of a version together, so that an object never has more than ten. */
export function capped(managers: readonly Manager[]): readonly Manager[] {
  const updaters = managers
    .filter(({ operation }) => operation === 'Update')
    .toSorted((a, b) => compareTexts(a.time ?? '', b.time ?? '') || compareTexts(a.name, b.name));
  let excess = updaters.length - maxUpdaters;
  if (excess <= 0) return managers;
  let result = [...managers];
  const firstOf = new Map<string, Manager>();
  for (const updater of updaters) {
    if (excess <= 0) break;
    const first = firstOf.get(updater.apiVersion);
    const bucket: Manager = {
      name: bucketName,
      operation: 'Update',
      apiVersion: updater.apiVersion,
      subresource: '',
      time: updater.time,
      fields: first ? union(first.fields, updater.fields) : updater.fields,
    };
    if (!first) {
      firstOf.set(updater.apiVersion, updater);
      continue;
    }
    result = result.filter((one) => one !== first && one !== updater);
    result.push(bucket);
    firstOf.set(updater.apiVersion, bucket);
    excess--;
  }
  return result;
}
