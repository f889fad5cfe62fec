import type { Json, JsonObject, StructuralSchema } from '../kind.ts';
import { jsonEqual } from '../schema/walk.ts';
import { emptySet, type FieldSet } from './field-set.ts';
import { childSchema, isDeclared, itemElement, shapeOf } from './typed-value.ts';

/**
 * `live` with `applied` laid over it: maps by field, keyed lists by item, everything else replaced. Parts that
 * do not change are shared with `live`, and the whole is `live` itself where nothing does.
 */
export function merged(schema: StructuralSchema | undefined, live: Json | undefined, applied: Json): Json {
  if (live === undefined) return applied;
  const shape = shapeOf(schema, applied);
  if (shape === 'leaf' || shape !== shapeOf(schema, live)) return jsonEqual(live, applied) ? live : applied;
  return shape === 'map'
    ? mergedMap(schema, live as JsonObject, applied as JsonObject)
    : mergedList(schema, live as Json[], applied as Json[]);
}

function mergedMap(schema: StructuralSchema | undefined, live: JsonObject, applied: JsonObject): JsonObject {
  let result = live;
  for (const [field, child] of Object.entries(applied)) {
    const next = merged(childSchema(schema, field), live[field], child);
    if (next === live[field]) continue;
    if (result === live) result = { ...live };
    result[field] = next;
  }
  return result;
}

/**
 * Items that were applied keep the order they were applied in; the others stay where the live list has them,
 * before anything new.
 */
function mergedList(schema: StructuralSchema | undefined, live: Json[], applied: Json[]): Json[] {
  const liveIds = live.map((item, i) => itemElement(schema, item, i));
  const appliedIds = applied.map((item, i) => itemElement(schema, item, i));
  const isApplied = new Set(appliedIds);
  const liveItems = new Map<string, Json>();
  liveIds.forEach((id, i) => {
    if (!liveItems.has(id)) liveItems.set(id, live[i] as Json);
  });
  const result: Json[] = [];
  let at = 0;
  const takeOthers = (end: number) => {
    for (; at < end; at++) if (!isApplied.has(liveIds[at] as string)) result.push(live[at] as Json);
  };
  const indexFrom = (id: string | undefined) => {
    const index = id === undefined ? -1 : liveIds.indexOf(id, at);
    return index < 0 ? live.length : index;
  };
  const shared = appliedIds.filter((id) => liveItems.has(id));
  let nextShared = 0;
  applied.forEach((item, i) => {
    const id = appliedIds[i] as string;
    takeOthers(indexFrom(shared[nextShared]));
    result.push(merged(schema?.items, liveItems.get(id), item));
    if (id !== shared[nextShared]) return;
    nextShared++;
    if (liveIds[at] === id) at++;
  });
  takeOthers(live.length);
  const same = result.length === live.length && result.every((item, i) => item === live[i]);
  return same ? live : result;
}

const nothing = emptySet();

/**
 * The value without what its applier no longer applies: paths in `last` that are not in `kept`, the fields of
 * all managers now. Shared with `value` where nothing goes.
 */
export function withoutDropped(
  schema: StructuralSchema | undefined,
  value: Json,
  last: FieldSet,
  kept: FieldSet,
): Json {
  const shape = shapeOf(schema, value);
  if (shape === 'leaf' || last.children.size === 0) return value;
  if (shape === 'list') {
    const items = (value as Json[]).flatMap((item, i) => {
      const element = itemElement(schema, item, i);
      const next = afterDrop(
        schema?.items,
        item,
        last.children.get(element),
        kept.children.get(element),
        false,
      );
      return next === undefined ? [] : [next];
    });
    const list = value as Json[];
    return items.length === list.length && items.every((item, i) => item === list[i]) ? value : items;
  }
  const map = value as JsonObject;
  let result = map;
  for (const [field, child] of Object.entries(map)) {
    const element = `f:${field}`;
    const before = last.children.get(element);
    const next = afterDrop(
      childSchema(schema, field),
      child,
      before,
      kept.children.get(element),
      isDeclared(schema, field),
    );
    if (next === child) continue;
    if (result === map) result = { ...map };
    if (next === undefined) delete result[field];
    else result[field] = next;
  }
  return result;
}

/** One child, or undefined where it goes. A type's own field is held by anyone who holds something in it. */
function afterDrop(
  schema: StructuralSchema | undefined,
  value: Json,
  last: FieldSet | undefined,
  kept: FieldSet | undefined,
  declared: boolean,
): Json | undefined {
  if (!last) return value;
  const wasApplied = last.owned || declared;
  const isKept = kept !== undefined && (kept.owned || declared);
  if (wasApplied && !isKept) return undefined;
  return withoutDropped(schema, value, last, kept ?? nothing);
}
