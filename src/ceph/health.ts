import { z } from 'zod';
import type { Ceph } from './seam.ts';

export const healthStatuses = ['HEALTH_OK', 'HEALTH_WARN', 'HEALTH_ERR'] as const;
export type HealthStatus = (typeof healthStatuses)[number];

export interface HealthCheck {
  /** `OSD_DOWN`, `PG_DEGRADED` and so on. */
  readonly code: string;
  readonly severity: HealthStatus;
  readonly message: string;
  /** The lines of `ceph health detail`, at most 50; empty where no detail was asked for. */
  readonly detail: readonly string[];
  readonly muted: boolean;
}

export interface Health {
  readonly status: HealthStatus;
  readonly checks: readonly HealthCheck[];
}

const maxDetails = 50; // Ceph itself stops there; a cluster with thousands of bad PGs must not fill our status.

export const HealthAnswer = z
  .object({
    status: z.enum(healthStatuses),
    checks: z.record(
      z.string(),
      z.object({
        severity: z.enum(healthStatuses),
        summary: z.object({ message: z.string() }),
        detail: z.array(z.object({ message: z.string() })).optional(),
        muted: z.boolean().optional(),
      }),
    ),
  })
  .transform((answer): Health => ({
    status: answer.status,
    checks: Object.entries(answer.checks).map(([code, check]) => ({
      code,
      severity: check.severity,
      message: check.summary.message,
      detail: (check.detail ?? []).slice(0, maxDetails).map((line) => line.message),
      muted: check.muted ?? false,
    })),
  }));

/** Health with the detail lines of each check. */
export const readHealth = (ceph: Ceph, signal: AbortSignal): Promise<Health> =>
  ceph.mon({ prefix: 'health', detail: 'detail' }, HealthAnswer, { signal });
