import type { ApiObject, Json, JsonObject, StructuralSchema } from '../kind.ts';
import { isJsonObject } from '../schema/walk.ts';
import { difference, type FieldSet } from './field-set.ts';
import { withoutManagers } from './managed-fields.ts';
import { compare } from './typed-compare.ts';
import { claimedFields, UntypedError } from './typed-value.ts';

/** Where client-side apply keeps the text of what it applied last. */
const annotation = 'kubectl.kubernetes.io/last-applied-configuration';

/** The fields that client-side apply set and that still are as it set them; undefined where it never ran. */
export function lastAppliedClaim(schema: StructuralSchema, live: ApiObject): FieldSet | undefined {
  const text = live.metadata?.annotations?.[annotation];
  if (text === undefined) return undefined;
  try {
    const last = JSON.parse(text) as Json;
    if (!isJsonObject(last)) return undefined;
    const { added, modified, removed } = compare(schema, last, live as Json);
    return difference(difference(difference(claimedFields(schema, last), modified), added), removed);
  } catch (error) {
    if (error instanceof UntypedError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** The object with that text brought up to what was applied, where it has one. */
export function withLastApplied(object: ApiObject, applied: ApiObject): ApiObject {
  const annotations = object.metadata?.annotations;
  if (annotations?.[annotation] === undefined) return object;
  const own = withoutManagers(applied) as JsonObject & ApiObject;
  const { [annotation]: _, ...others } = own.metadata?.annotations ?? {};
  const bare = own.metadata?.annotations
    ? { ...own, metadata: { ...own.metadata, annotations: others } }
    : own;
  const text = `${JSON.stringify(bare)}\n`;
  if (text === annotations[annotation]) return object;
  return {
    ...object,
    metadata: { ...object.metadata, annotations: { ...annotations, [annotation]: text } },
  } as unknown as ApiObject;
}
