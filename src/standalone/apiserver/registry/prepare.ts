import { badRequest, invalid } from '../status.ts';
import type { ApiObject, FieldError, JsonObject, KindInfo } from '../kind.ts';
import { builtinDefaults, builtinValidate } from '../schema/builtin-rules.ts';
import { withDefaults } from '../schema/defaults.ts';
import { pruned } from '../schema/prune.ts';
import { ruleErrors } from '../schema/rules.ts';
import { validate } from '../schema/validate.ts';
import { sameJson } from './json.ts';
import { metadataErrors } from './object-meta.ts';
import type { Caller, FieldValidation } from './request.ts';

/** Drops what the schema does not know, says so as the caller asked, and fills in defaults. */
export const shaped = (
  kind: KindInfo,
  object: ApiObject,
  fieldValidation: FieldValidation,
  caller: Caller,
): ApiObject => defaulted(kind, onlyKnown(kind, object, fieldValidation, caller));

/** The object without what the schema does not know, which is a warning or an error as the caller asked. */
export function onlyKnown(
  kind: KindInfo,
  object: ApiObject,
  fieldValidation: FieldValidation,
  caller: Caller,
): ApiObject {
  const { object: known, unknown } = pruned(kind.schema, object);
  if (unknown.length > 0 && fieldValidation === 'Strict')
    throw badRequest(
      `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: strict decoding error: ${unknown.map((path) => `unknown field "${path}"`).join(', ')}`,
    );
  if (fieldValidation === 'Warn') for (const path of unknown) caller.warn(`unknown field "${path}"`);
  return known as ApiObject;
}

export function defaulted(kind: KindInfo, object: ApiObject): ApiObject {
  const filled = withDefaults(kind.schema, object) as ApiObject;
  return kind.builtin ? ((builtinDefaults(kind, filled) as ApiObject | undefined) ?? filled) : filled;
}

/** 422 with everything that is wrong, where anything is. */
export function assertValid(
  kind: KindInfo,
  object: ApiObject,
  live: ApiObject | undefined,
  more: readonly FieldError[] = [],
): void {
  const unfit = validate(kind.schema, object);
  // The rules of a kind rely on every field having its type.
  const readable = !unfit.some(({ reason }) => reason === 'FieldValueTypeInvalid');
  const errors = [
    ...metadataErrors(kind, object),
    ...more,
    ...unfit,
    ...(readable ? kindRuleErrors(kind, object, live) : []),
  ];
  if (errors.length > 0) throw invalid(kind, object.metadata?.name ?? '', distinct(errors));
}

const kindRuleErrors = (kind: KindInfo, object: ApiObject, live: ApiObject | undefined): FieldError[] =>
  kind.builtin ? builtinValidate(kind, object, live) : ruleErrors(kind.schema, object, live);

/** Schema and rules may both miss a field. */
const distinct = (errors: readonly FieldError[]): FieldError[] => [
  ...new Map(errors.map((error) => [`${error.field}: ${error.message}`, error])).values(),
];

/** What a write of the main resource may not touch, where status is a subresource. */
export function withoutStatus(kind: KindInfo, object: ApiObject): void {
  if (kind.subresources.status) delete (object as JsonObject)['status'];
}

export function keepStatus(kind: KindInfo, next: ApiObject, live: ApiObject): void {
  if (!kind.subresources.status) return;
  const status = (live as JsonObject)['status'];
  if (status === undefined) delete (next as JsonObject)['status'];
  else (next as JsonObject)['status'] = status;
}

/** Whether more than metadata and status differ: then the generation moves. */
export function specChanged(kind: KindInfo, next: ApiObject, live: ApiObject): boolean {
  const rest = (object: ApiObject) => {
    const { metadata: _metadata, apiVersion: _apiVersion, ...others } = object as JsonObject;
    if (kind.subresources.status) delete others['status'];
    return others;
  };
  return !sameJson(rest(next), rest(live));
}

function withoutTimes(object: ApiObject): JsonObject {
  const { managedFields, ...metadata } = object.metadata ?? {};
  const fields = (managedFields ?? []).map((entry) => ({ ...entry, time: undefined }));
  return {
    ...(object as JsonObject),
    metadata: { ...metadata, managedFields: fields } as unknown as JsonObject,
  };
}

/** Whether a write would change nothing but the time of its bookkeeping. Then nothing is written. */
export const changesNothing = (next: ApiObject, live: ApiObject): boolean =>
  sameJson(withoutTimes(next), withoutTimes(live));
