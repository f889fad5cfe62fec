import type { Lease } from 'kubernetes-types/coordination/v1.js';
import type { OwnerReference } from 'kubernetes-types/meta/v1.js';
import { Leases } from '../api/core.ts';
import type { ObjectRef, Stored } from '../api/resource.ts';
import type { CallOptions, KubeClient } from './client.ts';
import { isAlreadyExists, isConflict } from './errors.ts';
import { microTime } from './micro-time.ts';

export interface LeaseClaim {
  readonly holder: string;
  readonly durationSeconds: number;
  readonly nowMs: number;
  readonly ownerReferences?: readonly OwnerReference[];
}

/** What a try at a lease gave. `lost`: another holds it, or was faster. */
export type LeaseResult =
  | { readonly kind: 'held'; readonly lease: Stored<Lease> }
  | { readonly kind: 'lost'; readonly holder: string };

/**
 * Renews our lease, or takes it where it is free (absent, released, or `expired` says so). Each write is
 * a compare-and-swap, so of two that try at once only one holds it.
 */
export async function claimLease(
  client: KubeClient,
  ref: ObjectRef,
  claim: LeaseClaim,
  expired: (lease: Stored<Lease>) => boolean,
  options: CallOptions,
): Promise<LeaseResult> {
  const current = await client.get(Leases, ref, options);
  if (!current) return await swap(() => client.create(Leases, newLease(ref, claim), options));
  const holder = current.spec?.holderIdentity ?? '';
  if (holder !== '' && holder !== claim.holder && !expired(current)) return { kind: 'lost', holder };
  return await swap(() => client.update(Leases, renewed(current, claim), options));
}

/** Renews a lease that we held when it was last read, in one call; Conflict where that is no longer so. */
export const renewLease = (
  client: KubeClient,
  lease: Stored<Lease>,
  claim: LeaseClaim,
  options: CallOptions,
): Promise<Stored<Lease>> => client.update(Leases, renewed(lease, claim), options);

/** Gives the lease up, so that the next holder need not wait for its end. */
export async function releaseLease(
  client: KubeClient,
  lease: Stored<Lease>,
  nowMs: number,
  options: CallOptions,
): Promise<void> {
  const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: microTime(nowMs) };
  await client.update(Leases, { ...lease, spec }, options);
}

function newLease(ref: ObjectRef, claim: LeaseClaim): Lease {
  const time = microTime(claim.nowMs);
  return {
    metadata: {
      name: ref.name,
      ...(ref.namespace === undefined ? {} : { namespace: ref.namespace }),
      ...(claim.ownerReferences ? { ownerReferences: [...claim.ownerReferences] } : {}),
    },
    spec: {
      holderIdentity: claim.holder,
      leaseDurationSeconds: claim.durationSeconds,
      acquireTime: time,
      renewTime: time,
      leaseTransitions: 0,
    },
  };
}

function renewed(lease: Stored<Lease>, claim: LeaseClaim): Stored<Lease> {
  const time = microTime(claim.nowMs);
  const taken = lease.spec?.holderIdentity !== claim.holder;
  const transitions = lease.spec?.leaseTransitions ?? 0;
  return {
    ...lease,
    spec: {
      ...lease.spec,
      holderIdentity: claim.holder,
      leaseDurationSeconds: claim.durationSeconds,
      renewTime: time,
      ...(taken ? { acquireTime: time, leaseTransitions: transitions + 1 } : {}),
    },
  };
}

async function swap(write: () => Promise<Stored<Lease>>): Promise<LeaseResult> {
  try {
    return { kind: 'held', lease: await write() };
  } catch (error) {
    if (isConflict(error) || isAlreadyExists(error)) return { kind: 'lost', holder: '' };
    throw error;
  }
}
