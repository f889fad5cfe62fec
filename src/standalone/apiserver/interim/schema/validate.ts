import type { FieldError, StructuralSchema } from '../../kind.ts';
export const validate = (_schema: StructuralSchema, _object: unknown): FieldError[] => [];
