import { z, type ZodType } from 'zod';

/**
 * Builders for CRD schemas. Objects are loose: a field that a newer release added is kept and named in a
 * condition, never refused. `nullish` where the field may be written as null.
 */
const preserve = { 'x-kubernetes-preserve-unknown-fields': true } as const;

export const text = (about: string) => z.string().optional().describe(about);
export const flag = (about: string) => z.boolean().optional().describe(about);
export const choice = <const T extends readonly string[]>(values: T, about: string) =>
  z.enum(values).optional().describe(about);

export interface NumberLimits {
  readonly min?: number;
  readonly max?: number;
  readonly format?: 'int32' | 'int64';
  readonly default?: number;
}

export function int(about: string, limits: NumberLimits = {}) {
  let schema = z.int();
  if (limits.min !== undefined) schema = schema.min(limits.min);
  if (limits.max !== undefined) schema = schema.max(limits.max);
  return schema
    .optional()
    .describe(about)
    .meta({
      ...(limits.format && { format: limits.format }),
      ...(limits.default !== undefined && { default: limits.default }),
    });
}

export const ratio = (about: string) => z.number().min(0).max(1).nullish().describe(about);

export const list = <T extends ZodType>(item: T, about: string) => z.array(item).optional().describe(about);

/** A list that one writer owns as a whole, as Kubernetes' own atomic lists. */
export const atomicList = <T extends ZodType>(item: T, about: string) =>
  list(item, about).meta({ 'x-kubernetes-list-type': 'atomic' });

export const map = <T extends ZodType>(value: T, about: string) =>
  z.record(z.string(), value).optional().describe(about);

/** A map that keeps what this schema does not know, as Rook's keyed settings do. */
export const openMap = <T extends ZodType>(value: T, about: string) =>
  z.record(z.string(), value).nullish().describe(about).meta(preserve);

export const object = <T extends z.ZodRawShape>(shape: T, about: string) =>
  z.looseObject(shape).optional().describe(about);
export const nullableObject = <T extends z.ZodRawShape>(shape: T, about: string) =>
  z.looseObject(shape).nullish().describe(about);
export const openObject = <T extends z.ZodRawShape>(shape: T, about: string) =>
  nullableObject(shape, about).meta(preserve);

/** One CEL rule of a schema: `message` is what the user reads. */
export interface CelRule {
  readonly rule: string;
  readonly message: string;
}

export const cel = (...rules: readonly CelRule[]) => ({ 'x-kubernetes-validations': rules });

/** No sign: no setting of a storage cluster is a negative amount. */
export const quantityPattern =
  '^(\\+)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$';

/** An amount such as `10Gi` or `500m`, never negative, as a map holds it. */
export const amount = z
  .union([z.int().min(0), z.string().regex(new RegExp(quantityPattern))])
  .meta({ 'x-kubernetes-int-or-string': true, 'x-holdfast-quantity': true });

export const quantity = (about: string) =>
  amount.optional().describe(about).meta({ 'x-kubernetes-int-or-string': true, 'x-holdfast-quantity': true });
