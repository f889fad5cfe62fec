import type { StructuralSchema } from '../../kind.ts';
export const withDefaults = (_schema: StructuralSchema, object: unknown): unknown => object;
