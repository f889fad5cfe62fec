import type { Lease } from 'kubernetes-types/coordination/v1.js';
import { Leases } from '../api/core.ts';
import type { ObjectRef, Stored } from '../api/resource.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { KubeClient } from '../kube/client.ts';
import { isConflict } from '../kube/errors.ts';
import { claimLease, releaseLease } from '../kube/lease.ts';

export interface LeaderElectionOptions {
  /** The Lease's namespace and name. */
  readonly lease: ObjectRef;
  /** Who we are: unique for each process. */
  readonly identity: string;
  /** How long others wait after our last renewal; 15 s where not said. */
  readonly leaseMs?: number;
  /** After this long without a renewal we stop by ourselves; 10 s, and always below `leaseMs`. */
  readonly renewDeadlineMs?: number;
  /** Between tries; 2 s. */
  readonly retryMs?: number;
}

export interface LeaderElectionDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: () => number;
}

/** Leadership ended though nobody asked us to stop: another may lead now. */
export class LeadershipLostError extends Error {
  readonly code = 'LEADERSHIP_LOST';

  constructor(lease: ObjectRef) {
    super(`the lease ${lease.namespace}/${lease.name} could not be renewed in time`);
    this.name = 'LeadershipLostError';
  }
}

export const isLeadershipLost = (error: unknown): error is LeadershipLostError =>
  error instanceof LeadershipLostError;

/**
 * Waits until we lead, then runs `lead` with a signal that aborts when we no longer do. Rejects with
 * LeadershipLostError then; on the caller's signal it ends `lead` first and then gives the lease up.
 */
export async function runAsLeader(
  options: LeaderElectionOptions,
  deps: LeaderElectionDeps,
  signal: AbortSignal,
  lead: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { clock, log } = deps;
  const { leaseMs = 15_000, retryMs = 2_000 } = options;
  const renewDeadlineMs = Math.min(options.renewDeadlineMs ?? 10_000, leaseMs - 1_000);
  const attempt = claimer(options, leaseMs, deps);

  let lease: Stored<Lease> | undefined;
  let renewedMs = 0;
  while (!lease) {
    signal.throwIfAborted();
    // Taken before the call: a slow answer must not make the lease seem longer than it is.
    renewedMs = clock.now();
    lease = await attempt(signal, retryMs * 2);
    if (!lease && signal.aborted) await giveUp(deps, options);
    if (!lease) await clock.sleep(retryMs * (1 + 0.2 * (deps.random ?? Math.random)()), signal);
  }
  log.info({ lease: options.lease.name, identity: options.identity }, 'leading');

  const leading = new AbortController();
  const onAbort = () => leading.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  const renewals = (async () => {
    while (!leading.signal.aborted) {
      await clock.sleep(retryMs, leading.signal).catch(() => undefined);
      if (leading.signal.aborted) return;
      const triedMs = clock.now();
      const leftMs = renewedMs + renewDeadlineMs - triedMs;
      const renewed = leftMs > 0 ? await attempt(leading.signal, leftMs) : undefined;
      if (renewed) [lease, renewedMs] = [renewed, triedMs];
      else if (clock.now() - renewedMs >= renewDeadlineMs)
        leading.abort(new LeadershipLostError(options.lease));
    }
  })();
  try {
    await lead(leading.signal);
    if (isLeadershipLost(leading.signal.reason)) throw leading.signal.reason;
  } catch (error) {
    throw isLeadershipLost(leading.signal.reason) ? leading.signal.reason : error;
  } finally {
    leading.abort(new Error('leading is over'));
    signal.removeEventListener('abort', onAbort);
    await renewals;
    if (!isLeadershipLost(leading.signal.reason)) await giveUp(deps, options);
  }
}

/** One try at a time to take or renew the lease; a failure is no lease. */
function claimer(options: LeaderElectionOptions, leaseMs: number, deps: LeaderElectionDeps) {
  const { client, clock, log } = deps;
  // Another's lease is over when we have not seen it change for its length by our own clock, so that
  // clocks that disagree cannot make two leaders.
  let seen: { resourceVersion: string; atMs: number } | undefined;
  const expired = (lease: Stored<Lease>) => {
    const { resourceVersion } = lease.metadata;
    if (seen?.resourceVersion !== resourceVersion) seen = { resourceVersion, atMs: clock.now() };
    return clock.now() - seen.atMs >= (lease.spec?.leaseDurationSeconds ?? leaseMs / 1000) * 1000;
  };
  return async (signal: AbortSignal, timeoutMs: number): Promise<Stored<Lease> | undefined> => {
    const claim = {
      holder: options.identity,
      durationSeconds: Math.ceil(leaseMs / 1000),
      nowMs: clock.now(),
    };
    try {
      const result = await claimLease(client, options.lease, claim, expired, { signal, timeoutMs });
      return result.kind === 'held' ? result.lease : undefined;
    } catch (error) {
      if (!signal.aborted) log.debug({ err: error, lease: options.lease.name }, 'lease not taken');
      return undefined;
    }
  };
}

/**
 * Releases the lease where it is ours, so that nobody waits for its end. It is read anew: a write of ours that
 * was cut off may have gone through, and may still go through between our two calls, but only once.
 */
async function giveUp(
  { client, clock, log }: LeaderElectionDeps,
  { lease: ref, identity }: LeaderElectionOptions,
): Promise<void> {
  // The caller's signal has aborted by now; each call has its own short limit.
  const limits = { signal: new AbortController().signal, timeoutMs: 2_000 };
  const release = async () => {
    const current = await client.get(Leases, ref, limits);
    if (current?.spec?.holderIdentity === identity) await releaseLease(client, current, clock.now(), limits);
  };
  try {
    await release().catch(async (error: unknown) => {
      if (!isConflict(error)) throw error;
      await release();
    });
  } catch (error) {
    log.debug({ err: error }, 'lease not given up; it ends by itself');
  }
}
