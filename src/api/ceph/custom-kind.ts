import type { ZodType } from 'zod';
import type { KubeObject, Resource } from '../resource.ts';

/** All that a CRD is made from. */
export interface CustomKind {
  readonly resource: Resource<KubeObject & { spec?: unknown; status?: unknown }>;
  readonly shortNames: readonly string[];
  /** One sentence, shown by `kubectl explain`. */
  readonly about: string;
  readonly spec: ZodType;
  readonly status: ZodType;
  readonly columns: readonly CustomColumn[];
}

export interface CustomColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'boolean' | 'date';
  readonly jsonPath: string;
  readonly description?: string;
  /** Above 0: only with `-o wide`. */
  readonly priority?: number;
}
