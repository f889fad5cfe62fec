import type { FieldError, Json, JsonObject, StructuralSchema } from '../kind.ts';
import { evaluate, EvaluationError } from './cel/evaluate.ts';
import { parseExpression, type Expression } from './cel/parse.ts';
import { fieldError } from './field-error.ts';
import { childPath, fieldSchemaOf, isJsonObject } from './walk.ts';

/**
 * What the rules of a custom kind's schema (`x-kubernetes-validations`) say against an object. Rules that look
 * at `oldSelf` count only where the value was there before; items of a list have a before only where the list
 * has keys. A rule in words that are not known here is left to the kind's operator: it says nothing.
 */
export function ruleErrors(schema: StructuralSchema, object: unknown, old: unknown): FieldError[] {
  const errors: FieldError[] = [];
  if (hasRules(schema)) check(schema, object as Json, old as Json | undefined, '', errors);
  return errors;
}

const known = new WeakMap<StructuralSchema, boolean>();

function hasRules(schema: StructuralSchema): boolean {
  const cached = known.get(schema);
  if (cached !== undefined) return cached;
  const { properties = {}, items, additionalProperties: more } = schema;
  const has =
    (schema['x-kubernetes-validations']?.length ?? 0) > 0 ||
    Object.values(properties).some(hasRules) ||
    (items !== undefined && hasRules(items)) ||
    (typeof more === 'object' && hasRules(more));
  known.set(schema, has);
  return has;
}

const compiled = new Map<string, Expression | undefined>();
const maxCompiled = 5_000;

function expressionOf(rule: string): Expression | undefined {
  if (!compiled.has(rule)) {
    if (compiled.size >= maxCompiled) compiled.clear();
    try {
      compiled.set(rule, parseExpression(rule));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      compiled.set(rule, undefined);
    }
  }
  return compiled.get(rule);
}

function check(
  schema: StructuralSchema,
  value: Json,
  old: Json | undefined,
  path: string,
  errors: FieldError[],
): void {
  if (value === null) return;
  for (const { rule, message, fieldPath } of schema['x-kubernetes-validations'] ?? []) {
    const looksBack = /\boldSelf\b/.test(rule);
    const expression = expressionOf(rule);
    if (!expression || (looksBack && (old === undefined || old === null))) continue;
    const why = failure(expression, { self: value, ...(looksBack && { oldSelf: old as Json }) });
    if (why === undefined) continue;
    const shown = isJsonObject(value) ? 'object' : Array.isArray(value) ? 'array' : value;
    const text = why === '' ? (message ?? `failed rule: ${rule}`) : `${why} evaluating rule: ${rule}`;
    errors.push(fieldError.invalid(path + (fieldPath ?? ''), shown, text));
  }
  if (Array.isArray(value)) checkItems(schema, value, old, path, errors);
  else if (isJsonObject(value))
    for (const [field, child] of Object.entries(value)) {
      const own = fieldSchemaOf(schema, field);
      const before = isJsonObject(old) ? old[field] : undefined;
      if (own && hasRules(own)) check(own, child, before, childPath(path, field), errors);
    }
}

function checkItems(
  schema: StructuralSchema,
  value: Json[],
  old: Json | undefined,
  path: string,
  errors: FieldError[],
): void {
  const { items } = schema;
  if (!items || !hasRules(items)) return;
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  const before = Array.isArray(old) && keys.length > 0 ? old : [];
  value.forEach((item, i) => {
    const same = before.find((one) =>
      keys.every((key) => (one as JsonObject)[key] === (item as JsonObject)[key]),
    );
    check(items, item, same, `${path}[${i}]`, errors);
  });
}

/** Undefined where the rule holds, empty where it does not, else why it cannot be told. */
function failure(expression: Expression, names: Record<string, Json>): string | undefined {
  try {
    const result = evaluate(expression, names);
    return result === true ? undefined : '';
  } catch (error) {
    if (!(error instanceof EvaluationError)) throw error;
    // A function that is not known here says nothing about the object.
    return error.message.startsWith('no such function') ? undefined : error.message;
  }
}
