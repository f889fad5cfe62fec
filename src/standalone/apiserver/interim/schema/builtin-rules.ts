import type { FieldError, KindInfo } from '../../kind.ts';
export const builtinDefaults = (_kind: KindInfo, object: unknown): unknown => object;
export const builtinValidate = (_kind: KindInfo, _object: unknown, _old?: unknown): FieldError[] => [];
