import type { FieldError, Json, JsonObject, StructuralSchema } from '../kind.ts';
import { parseQuantity } from '../../../lib/quantity.ts';
import { fieldError } from './field-error.ts';
import { childPath, fieldSchemaOf, isJsonObject, jsonEqual } from './walk.ts';

/** Everything that is wrong with an object by its schema, each with its path. Unknown fields are no error. */
export function validate(schema: StructuralSchema, object: unknown): FieldError[] {
  const errors: FieldError[] = [];
  check(schema, object as Json, '', errors);
  return errors;
}

function check(schema: StructuralSchema, value: Json, path: string, errors: FieldError[]): void {
  if (value === null) {
    if (!schema.nullable && schema.type) errors.push(fieldError.wrongType(path, schema.type, 'null'));
    return;
  }
  if (!typeFits(schema, value)) {
    errors.push(fieldError.wrongType(path, typeWanted(schema), typeOf(value)));
    return;
  }
  if (schema.enum && !schema.enum.some((allowed) => jsonEqual(allowed, value)))
    errors.push(fieldError.unsupported(path, value, schema.enum));
  if (typeof value === 'string') checkString(schema, value, path, errors);
  else if (typeof value === 'number') checkNumber(schema, value, path, errors);
  else if (Array.isArray(value)) checkList(schema, value, path, errors);
  else if (isJsonObject(value)) checkObject(schema, value, path, errors);
  checkCombined(schema, value, path, errors);
}

function typeOf(value: Json): string {
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return value === null ? 'null' : typeof value;
}

const typeWanted = (schema: StructuralSchema): string =>
  schema['x-kubernetes-int-or-string'] ? 'integer,string' : (schema.type ?? 'object');

function typeFits(schema: StructuralSchema, value: Json): boolean {
  const found = typeOf(value);
  if (schema['x-kubernetes-int-or-string'])
    return found === 'string' || found === 'integer' || (schema.format === 'quantity' && found === 'number');
  if (!schema.type || schema.type === found) return true;
  return schema.type === 'number' && found === 'integer';
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const patterns = new Map<string, RegExp | undefined>();
const maxPatterns = 5_000;

/** A pattern, or undefined where it is not one that JavaScript can read: then it is not enforced. */
function patternOf(text: string): RegExp | undefined {
  if (!patterns.has(text)) {
    if (patterns.size >= maxPatterns) patterns.clear();
    let made: RegExp | undefined;
    try {
      made = new RegExp(text, 'u');
    } catch {
      try {
        made = new RegExp(text);
      } catch {
        made = undefined;
      }
    }
    patterns.set(text, made);
  }
  return patterns.get(text);
}

function checkString(schema: StructuralSchema, value: string, path: string, errors: FieldError[]): void {
  const length =
    schema.minLength === undefined && schema.maxLength === undefined ? 0 : Array.from(value).length;
  const { minLength, maxLength, pattern, format } = schema;
  if (minLength !== undefined && length < minLength)
    errors.push(
      fieldError.invalid(path, value, `${path} in body should be at least ${minLength} chars long`),
    );
  if (maxLength !== undefined && length > maxLength)
    errors.push({
      field: path,
      reason: 'FieldValueTooLong',
      message: `Too long: may not be more than ${maxLength} bytes`,
    });
  if (pattern !== undefined && patternOf(pattern)?.test(value) === false)
    errors.push(fieldError.invalid(path, value, `${path} in body should match '${pattern}'`));
  const bad =
    (format === 'date-time' && Number.isNaN(Date.parse(value))) ||
    (format === 'quantity' && parseQuantity(value) === undefined) ||
    (format === 'byte' && !base64.test(value));
  if (bad)
    errors.push(fieldError.invalid(path, value, `${path} in body must be of type ${format}: "${value}"`));
}

function checkNumber(schema: StructuralSchema, value: number, path: string, errors: FieldError[]): void {
  const { minimum, maximum, multipleOf } = schema;
  const say = (why: string) => errors.push(fieldError.invalid(path, value, `${path} in body ${why}`));
  if (minimum !== undefined && (schema.exclusiveMinimum ? value <= minimum : value < minimum))
    say(`should be greater than ${schema.exclusiveMinimum ? '' : 'or equal to '}${minimum}`);
  if (maximum !== undefined && (schema.exclusiveMaximum ? value >= maximum : value > maximum))
    say(`should be less than ${schema.exclusiveMaximum ? '' : 'or equal to '}${maximum}`);
  if (multipleOf !== undefined && !Number.isInteger(value / multipleOf))
    say(`should be a multiple of ${multipleOf}`);
  if (schema.format === 'int32' && (value > 2147483647 || value < -2147483648)) say('must be of type int32');
}

function checkList(schema: StructuralSchema, value: Json[], path: string, errors: FieldError[]): void {
  const { items, minItems, maxItems } = schema;
  if (minItems !== undefined && value.length < minItems)
    errors.push(
      fieldError.invalid(path, value.length, `${path} in body should have at least ${minItems} items`),
    );
  if (maxItems !== undefined && value.length > maxItems)
    errors.push({
      field: path,
      reason: 'FieldValueTooMany',
      message: `Too many: ${value.length}: must have at most ${maxItems} items`,
    });
  const listType = schema['x-kubernetes-list-type'];
  const keys = schema['x-kubernetes-list-map-keys'];
  const unique = schema.uniqueItems || listType === 'set';
  const seen = new Set<string>();
  value.forEach((item, i) => {
    if (items) check(items, item, `${path}[${i}]`, errors);
    // Built-in lists are told apart by more than their keys in places; their own rules look for duplicates.
    if (!unique && !(listType === 'map' && keys && isJsonObject(item))) return;
    const identity = unique
      ? item
      : Object.fromEntries((keys ?? []).map((k) => [k, (item as JsonObject)[k] ?? null]));
    const text = JSON.stringify(identity);
    if (seen.has(text)) errors.push(fieldError.duplicate(`${path}[${i}]`, identity));
    seen.add(text);
  });
}

function checkObject(schema: StructuralSchema, value: JsonObject, path: string, errors: FieldError[]): void {
  for (const field of schema.required ?? [])
    if (!Object.hasOwn(value, field)) errors.push(fieldError.required(childPath(path, field)));
  const count = Object.keys(value).length;
  const { minProperties, maxProperties } = schema;
  if (minProperties !== undefined && count < minProperties)
    errors.push(
      fieldError.invalid(path, count, `${path} in body should have at least ${minProperties} properties`),
    );
  if (maxProperties !== undefined && count > maxProperties)
    errors.push({
      field: path,
      reason: 'FieldValueTooMany',
      message: `Too many: ${count}: must have at most ${maxProperties} items`,
    });
  for (const [field, child] of Object.entries(value)) {
    const own = fieldSchemaOf(schema, field);
    if (own) check(own, child, childPath(path, field), errors);
  }
}

function checkCombined(schema: StructuralSchema, value: Json, path: string, errors: FieldError[]): void {
  const passes = (one: StructuralSchema) => {
    const found: FieldError[] = [];
    check(one, value, path, found);
    return found.length === 0;
  };
  for (const one of schema.allOf ?? []) check(one, value, path, errors);
  // An int-or-string is spelled as anyOf [integer, string] too, which its type has said already.
  if (schema.anyOf && !schema.anyOf.some(passes))
    errors.push(fieldError.invalid(path, value, `${path} in body must validate at least one schema (anyOf)`));
  if (schema.oneOf && schema.oneOf.filter(passes).length !== 1)
    errors.push(
      fieldError.invalid(path, value, `${path} in body must validate one and only one schema (oneOf)`),
    );
  if (schema.not && passes(schema.not))
    errors.push(
      fieldError.invalid(path, value, `${path} in body must not validate the schema (not)${wayOut(schema)}`),
    );
}

/** The forbidden pattern, where no rule of the schema says in words what would be right. */
function wayOut(schema: StructuralSchema): string {
  const hasWords = schema['x-kubernetes-validations']?.some(
    ({ rule, message }) => message && !rule.includes('oldSelf'),
  );
  return hasWords || schema.not?.pattern === undefined ? '' : `: it matches ${schema.not.pattern}`;
}
