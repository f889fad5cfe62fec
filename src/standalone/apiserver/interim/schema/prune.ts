import type { StructuralSchema } from '../../kind.ts';
export const pruned = (
  _schema: StructuralSchema,
  object: unknown,
): { object: unknown; unknown: string[] } => ({ object: structuredClone(object), unknown: [] });
