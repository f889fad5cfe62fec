import type { Json, StructuralSchema } from '../../kind.ts';
import { mergePatch } from './merge-patch.ts';
export const strategicMergePatch = (doc: Json, patch: Json, _schema: StructuralSchema): Json =>
  mergePatch(doc, patch);
