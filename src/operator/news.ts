import type { KubeObject, Stored } from '../api/resource.ts';
import { findCondition, type Condition } from '../control/conditions.ts';
import type { EventRecorder } from '../kube/events.ts';

/** What of a CephCluster or a pool makes news. */
export interface Newsworthy extends KubeObject {
  status?:
    | {
        readonly phase?: string | undefined;
        readonly conditions?: readonly unknown[] | undefined;
        readonly ceph?:
          | { readonly health?: string | undefined; readonly details?: unknown }
          | null
          | undefined;
      }
    | null
    | undefined;
}

type Details = Readonly<Record<string, { readonly message?: string } | undefined>>;

const readyOf = ({ status }: Newsworthy) =>
  findCondition(status?.conditions as readonly Condition[] | undefined, 'Ready');

/**
 * Tells what changed between two statuses of an object, so that `kubectl describe` and `get events` show how it
 * came to be what it is: each new reason, and each change of Ceph's health after the cluster was first ready.
 */
export function tellNews(
  events: Pick<EventRecorder, 'event'>,
  before: Stored<Newsworthy>,
  after: Stored<Newsworthy> | undefined,
): void {
  if (!after) return;
  const [old, now] = [readyOf(before), readyOf(after)];
  const wasReady = old?.status === 'True';
  if (now && (now.reason !== old?.reason || now.status !== old?.status)) {
    const bad = after.status?.phase === 'Failure' || (wasReady && now.status !== 'True');
    events.event(after, bad ? 'Warning' : 'Normal', now.reason ?? 'ReconcileStarted', now.message ?? '');
  }
  const [healthBefore, health] = [before.status?.ceph?.health, after.status?.ceph?.health];
  if (!wasReady || !health || !healthBefore || health === healthBefore) return;
  const why = Object.entries((after.status?.ceph?.details ?? {}) as Details)
    .map(([check, detail]) => `${check}: ${detail?.message ?? ''}`)
    .join('; ');
  events.event(
    after,
    health === 'HEALTH_OK' ? 'Normal' : 'Warning',
    'CephHealthChanged',
    `${healthBefore} is now ${health}${why ? `: ${why}` : ''}`,
  );
}
