import type { ApiObject, FieldError, JsonObject, KindInfo } from '../kind.ts';
import { sameJson } from '../registry/json.ts';
import { cloneJson } from '../../../lib/clone-json.ts';
import { definitionRules } from './rules/definition-rules.ts';
import { mapIn } from './rules/draft.ts';
import { objectDefaults } from './rules/object-defaults.ts';
import { objectRules } from './rules/object-rules.ts';
import { podDefaults, podSpecDefaults } from './rules/pod-defaults.ts';
import { podErrors } from './rules/pod-rules.ts';
import { storageRules } from './rules/storage-rules.ts';
import { workloadDefaults } from './rules/workload-defaults.ts';
import { workloadRules } from './rules/workload-rules.ts';
import { isJsonObject } from './walk.ts';

/** Fills in what clients of a built-in kind may leave out, in place, and gives the object back. */
export function builtinDefaults(kind: KindInfo, object: unknown): unknown {
  if (!isJsonObject(object)) return object;
  const spec = mapIn(object, 'spec');
  if (kind.kind === 'Pod') podDefaults(spec);
  if (kind.kind === 'PodTemplate') podSpecDefaults(mapIn(mapIn(object, 'template'), 'spec'));
  const workload = workloadDefaults[kind.kind];
  if (workload && spec) workload(spec, object as JsonObject);
  objectDefaults[kind.kind]?.(object as JsonObject);
  return object;
}

type Rule = (object: ApiObject, before: ApiObject | undefined) => FieldError[];

// Each rule knows its kind's type; the schema has been checked before any of them runs.
const rules = {
  Pod: podErrors,
  ...workloadRules,
  ...storageRules,
  ...objectRules,
  ...definitionRules,
} as unknown as Readonly<Record<string, Rule>>;

const withoutHead = (object: ApiObject): JsonObject => {
  const { apiVersion: _apiVersion, kind: _kind, metadata: _metadata, status: _status, ...rest } = object;
  return rest as JsonObject;
};

/**
 * Everything that is wrong with an object of a built-in kind beyond its schema, which it must fit already.
 * A change is judged against `old`; one of metadata or status alone always passes, so that an object stored
 * before a rule came can still be let go.
 */
export function builtinValidate(
  kind: KindInfo,
  object: ApiObject | JsonObject,
  old?: ApiObject,
): FieldError[] {
  const rule = Object.hasOwn(rules, kind.kind) ? rules[kind.kind] : undefined;
  if (!rule) return [];
  // What is stored may lack defaults that came later, and they must not look like changes.
  const before = old && (builtinDefaults(kind, cloneJson(old)) as ApiObject);
  if (before && sameJson(withoutHead(object as ApiObject), withoutHead(before))) return [];
  return rule(object as ApiObject, before);
}
