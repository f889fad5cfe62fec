import type { FieldError } from '../kind.ts';

const shown = (value: unknown): string =>
  value === undefined ? 'null' : typeof value === 'number' ? String(value) : JSON.stringify(value);

/** What can be wrong with a field, in Kubernetes' reasons and words; `field` is its path. */
export const fieldError = {
  invalid: (field: string, value: unknown, why: string): FieldError => ({
    field,
    reason: 'FieldValueInvalid',
    message: `Invalid value: ${shown(value)}: ${why}`,
  }),
  required: (field: string, why = ''): FieldError => ({
    field,
    reason: 'FieldValueRequired',
    message: why === '' ? 'Required value' : `Required value: ${why}`,
  }),
  duplicate: (field: string, value: unknown): FieldError => ({
    field,
    reason: 'FieldValueDuplicate',
    message: `Duplicate value: ${shown(value)}`,
  }),
  forbidden: (field: string, why: string): FieldError => ({
    field,
    reason: 'FieldValueForbidden',
    message: `Forbidden: ${why}`,
  }),
  unsupported: (field: string, value: unknown, supported: readonly unknown[]): FieldError => ({
    field,
    reason: 'FieldValueNotSupported',
    message: `Unsupported value: ${shown(value)}: supported values: ${supported.map(shown).join(', ')}`,
  }),
  notFound: (field: string, value: unknown): FieldError => ({
    field,
    reason: 'FieldValueInvalid',
    message: `Not found: ${shown(value)}`,
  }),
  wrongType: (field: string, type: string, found: string): FieldError => ({
    field,
    reason: 'FieldValueTypeInvalid',
    message: `Invalid value: ${JSON.stringify(found)}: ${field} in body must be of type ${type}: ${JSON.stringify(found)}`,
  }),
} as const;
