import type { ApiObject, Json, JsonObject, StructuralSchema } from '../kind.ts';
import { jsonEqual } from '../schema/walk.ts';
import {
  difference,
  emptySet,
  equalSets,
  intersection,
  isEmptySet,
  pathTexts,
  union,
  type FieldSet,
} from './field-set.ts';
import { lastAppliedClaim, withLastApplied } from './last-applied.ts';
import {
  capped,
  isSameManager,
  ownable,
  readManagers,
  withManagers,
  withoutManagers,
  type Manager,
  type ManagerId,
} from './managed-fields.ts';
import { compare, type Comparison } from './typed-compare.ts';
import { merged, withoutDropped } from './typed-merge.ts';
import { claimedFields, UntypedError } from './typed-value.ts';

interface Write {
  /** The object as it is; undefined where the write makes it. */
  readonly live: ApiObject | undefined;
  readonly manager: string;
  readonly schema: StructuralSchema;
  /** Of the request, such as apps/v1. */
  readonly apiVersion: string;
  /** `''` for the object itself. */
  readonly subresource: string;
  /** Whether status is a subresource of the kind: then a write of the object owns nothing of it. */
  readonly hasStatus?: boolean;
  /** RFC 3339. */
  readonly now: string;
}

/** Fields that another manager owns and that an apply would set to something else. */
export interface ApplyConflict {
  /** As messages show it: `"kubectl" using apps/v1`. */
  readonly manager: string;
  /** `.spec.replicas` */
  readonly fields: string[];
  /** `conflict with "kubectl" using apps/v1` */
  readonly message: string;
}

/** The entry that holds the fields of an object which had no managers when it was first applied. */
const beforeFirstApply = 'before-first-apply';
const nothing = emptySet();

/**
 * What applying `applied` makes of `live`: fields merge by the schema, fields that this manager applied before
 * and now left out go unless someone else owns them, and metadata.managedFields say who owns what. Where
 * others own fields that would change, the conflicts, unless forced: then the fields change hands.
 * Neither argument is changed. Throws UntypedError where `applied` names a list item twice or without its keys.
 */
export function serverSideApply(
  write: Write & { readonly applied: ApiObject; readonly force: boolean },
): { object: ApiObject } | { conflicts: ApplyConflict[] } {
  const { live, manager, force } = write;
  const before = live && withoutManagers(live);
  const managers = managersForApply(write, before);
  const plan = planApply(write, before, managers);
  const conflicts = force ? [] : conflictsOf(plan, managers);
  // kubectl's own move from client-side apply: what its last apply said and nobody changed since is its to take.
  const isMigration = manager === 'kubectl' && before !== undefined && conflicts.length > 0;
  const claim = isMigration ? lastAppliedClaim(write.schema, before) : undefined;
  const refused = claim
    ? conflicts.filter(({ fields }) => !isEmptySet(difference(fields, claim)))
    : conflicts;
  if (refused.length > 0) return { conflicts: conflicts.map(conflictText) };
  const object = manager === 'kubectl' ? withLastApplied(plan.object, write.applied) : plan.object;
  return { object: withManagers(object, managersAfterApply(write, before, plan, managers)) };
}

interface Plan {
  readonly self: ManagerId;
  readonly previous: Manager | undefined;
  readonly claim: FieldSet;
  readonly object: ApiObject;
  readonly comparison: Comparison;
}

function planApply(
  write: Write & { readonly applied: ApiObject },
  before: ApiObject | undefined,
  managers: readonly Manager[],
): Plan {
  const { schema, apiVersion, subresource, hasStatus = false } = write;
  const applied = relevant(write.applied, subresource, hasStatus);
  const self: ManagerId = { name: write.manager, operation: 'Apply', apiVersion, subresource };
  const previous = managers.find((one) => isSameManager(one, self));
  const claim = ownable(claimedFields(schema, applied as Json), subresource, hasStatus);
  const laidOver = merged(schema, before as Json | undefined, applied as Json) as ApiObject;
  const kept = managers.reduce((all, one) => (one === previous ? all : union(all, one.fields)), claim);
  const object = previous
    ? (withoutDropped(schema, laidOver as Json, previous.fields, kept) as ApiObject)
    : laidOver;
  return {
    self,
    previous,
    claim,
    object,
    comparison: compare(schema, (before ?? {}) as Json, object as Json),
  };
}

/** The part of an applied object that this write can change. */
function relevant(applied: ApiObject, subresource: string, hasStatus: boolean): ApiObject {
  const { status, ...rest } = withoutManagers(applied) as JsonObject;
  if (subresource !== 'status') return (hasStatus ? rest : withoutManagers(applied)) as ApiObject;
  const { apiVersion, kind, metadata } = rest as JsonObject;
  return { apiVersion, kind, metadata, ...(status !== undefined && { status }) } as ApiObject;
}

function managersForApply(
  { live, schema, apiVersion, subresource, hasStatus = false, now }: Write,
  before: ApiObject | undefined,
): Manager[] {
  const managers = readManagers(live?.metadata?.managedFields) ?? [];
  if (!before || managers.length > 0) return managers;
  const { added } = compare(schema, {}, before as Json);
  const fields = ownable(added, subresource, hasStatus);
  return [{ name: beforeFirstApply, operation: 'Update', apiVersion, subresource, time: now, fields }];
}

interface Conflict {
  readonly manager: Manager;
  readonly fields: FieldSet;
}

function conflictsOf({ comparison, previous }: Plan, managers: readonly Manager[]): Conflict[] {
  const changed = union(comparison.added, comparison.modified);
  return managers
    .filter((manager) => manager !== previous)
    .map((manager) => ({ manager, fields: intersection(manager.fields, changed) }))
    .filter(({ fields }) => !isEmptySet(fields));
}

function conflictText({ manager, fields }: Conflict): ApplyConflict {
  const part = manager.subresource === '' ? '' : ` with subresource ${JSON.stringify(manager.subresource)}`;
  const version = manager.operation === 'Update' ? ` using ${manager.apiVersion}` : '';
  const name = `${JSON.stringify(manager.name)}${part}${version}`;
  return { manager: name, fields: pathTexts(fields), message: `conflict with ${name}` };
}

function managersAfterApply(
  write: Write,
  before: ApiObject | undefined,
  plan: Plan,
  managers: readonly Manager[],
): Manager[] {
  const { self, previous, claim, comparison } = plan;
  const others = managers.filter((one) => one !== previous).map((one) => losing(one, comparison));
  const isSame =
    previous !== undefined &&
    equalSets(previous.fields, claim) &&
    before !== undefined &&
    jsonEqual(before as Json, plan.object as Json);
  return [...others, { ...self, fields: claim, time: isSame ? previous.time : write.now }];
}

/** A manager without the fields that another one's write changed or removed. */
function losing(manager: Manager, { added, modified, removed }: Comparison): Manager {
  const fields = difference(difference(difference(manager.fields, modified), added), removed);
  return equalSets(fields, manager.fields) ? manager : { ...manager, fields };
}

/**
 * The object that a create, update or patch stores, with its managedFields: the writer owns what it changed,
 * and nobody owns what it removed. managedFields in `updated` count as the new ones, but for the object's own
 * parts, and where they are absent or senseless: then the live ones stay. A list of one empty entry forgets
 * all managers; an object without any is not tracked until it is applied. Nothing that was passed is changed.
 */
export function trackManagedFields(
  write: Write & { readonly updated: ApiObject; readonly operation: 'Update' },
): ApiObject {
  const { live, updated, manager: name, schema, apiVersion, subresource, hasStatus = false, now } = write;
  const managers = managersForUpdate(write);
  const after = withoutManagers(updated);
  // Who wants no tracking has cleared it; it begins again with the next apply.
  if (live && managers.length === 0) return after;
  const comparison = compared(schema, live ? withoutManagers(live) : undefined, after);
  if (!comparison) return withManagers(after, managers);
  const self: ManagerId = { name, operation: 'Update', apiVersion, subresource };
  const previous = managers.find((one) => isSameManager(one, self));
  const taken = ownable(union(comparison.added, comparison.modified), subresource, hasStatus);
  const left = managers.map((one) => losing(one, comparison));
  if (isEmptySet(taken)) return withManagers(after, left);
  const own = previous ? difference(previous.fields, comparison.removed) : nothing;
  const others = left.filter((one) => !isSameManager(one, self));
  return withManagers(after, capped([...others, { ...self, time: now, fields: union(own, taken) }]));
}

function compared(
  schema: StructuralSchema,
  before: ApiObject | undefined,
  after: ApiObject,
): Comparison | undefined {
  try {
    return compare(schema, (before ?? {}) as Json, after as Json);
  } catch (error) {
    // An object whose list items cannot be told apart is stored all the same; who owns what stays as it was.
    if (error instanceof UntypedError) return undefined;
    throw error;
  }
}

function managersForUpdate({
  live,
  updated,
  subresource,
}: Write & { readonly updated: ApiObject }): Manager[] {
  const kept = () => readManagers(live?.metadata?.managedFields) ?? [];
  const sent = updated.metadata?.managedFields as unknown;
  if (subresource !== '' || !Array.isArray(sent)) return kept();
  const isReset = sent.length === 1 && Object.keys((sent[0] ?? {}) as object).length === 0;
  if (isReset) return [];
  const managers = readManagers(sent);
  return managers && managers.length > 0 ? managers : kept();
}
