import type { ApiObject, Json, StructuralSchema } from '../../kind.ts';
import { mergePatch } from '../../patch/merge-patch.ts';
interface Common {
  live: ApiObject | undefined;
  manager: string;
  schema: StructuralSchema;
  apiVersion: string;
  subresource: string;
  now: string;
}
export function serverSideApply(
  r: Common & { applied: ApiObject; force: boolean },
): { object: ApiObject } | { conflicts: { manager: string; fields: string[]; message: string }[] } {
  return {
    object: r.live
      ? (mergePatch(structuredClone(r.live) as Json, r.applied as Json) as ApiObject)
      : structuredClone(r.applied),
  };
}
export const trackManagedFields = (r: Common & { updated: ApiObject; operation: 'Update' }): ApiObject =>
  r.updated;
