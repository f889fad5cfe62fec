import type { FieldError } from '../kind.ts';

// Kubernetes' words for what can be wrong with a field.

const shown = (value: unknown): string =>
  value === undefined ? 'null' : typeof value === 'number' ? String(value) : JSON.stringify(value);

export const invalidField = (field: string, value: unknown, why: string): FieldError => ({
  field,
  reason: 'FieldValueInvalid',
  message: `Invalid value: ${shown(value)}: ${why}`,
});

export const requiredField = (field: string, why = ''): FieldError => ({
  field,
  reason: 'FieldValueRequired',
  message: why === '' ? 'Required value' : `Required value: ${why}`,
});

export const duplicateField = (field: string, value: unknown): FieldError => ({
  field,
  reason: 'FieldValueDuplicate',
  message: `Duplicate value: ${shown(value)}`,
});

export const forbiddenField = (field: string, why: string): FieldError => ({
  field,
  reason: 'FieldValueForbidden',
  message: `Forbidden: ${why}`,
});

export const unsupportedField = (
  field: string,
  value: unknown,
  supported: readonly unknown[],
): FieldError => ({
  field,
  reason: 'FieldValueNotSupported',
  message: `Unsupported value: ${shown(value)}: supported values: ${supported.map(shown).join(', ')}`,
});

export const notFoundField = (field: string, value: unknown): FieldError => ({
  field,
  reason: 'FieldValueInvalid',
  message: `Not found: ${shown(value)}`,
});

export const typeError = (field: string, type: string, found: string): FieldError => ({
  field,
  reason: 'FieldValueTypeInvalid',
  message: `Invalid value: ${JSON.stringify(found)}: ${field} in body must be of type ${type}: ${JSON.stringify(found)}`,
});
