import type { Deployment, ReplicaSet } from 'kubernetes-types/apps/v1.js';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Stored } from '../../api/resource.ts';
import {
  newReplicaSetSize,
  oldReplicaSetSizes,
  proportionalSizes,
  rolloutLimits,
} from './deployment-sizes.ts';

const deployment = (
  replicas: number,
  maxSurge: number | string,
  maxUnavailable: number | string,
): Deployment =>
  ({
    spec: { replicas, strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } } },
  }) as Deployment;
const replicaSet = (name: string, replicas: number, availableReplicas: number): Stored<ReplicaSet> =>
  ({
    metadata: { name, uid: name, creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: { replicas },
    status: { availableReplicas },
  }) as Stored<ReplicaSet>;

test('percentages round up for surge and down for unavailable, and both zero still moves', () => {
  expect(rolloutLimits(deployment(3, '25%', '25%'))).toMatchObject({ maxSurge: 1, maxUnavailable: 0 });
  expect(rolloutLimits(deployment(3, 0, '25%'))).toMatchObject({ maxSurge: 0, maxUnavailable: 1 });
  expect(rolloutLimits({ spec: { replicas: 10 } } as Deployment)).toMatchObject({
    maxSurge: 3,
    maxUnavailable: 2,
  });
});

test('a rollout of any shape ends, never above its surge, never below what has to stay available', () => {
  const share = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constantFrom('10%', '25%', '50%', '100%'));
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 12 }),
      share,
      share,
      fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 3 }),
      (replicas, surge, unavailable, oldSizes) => {
        const limits = rolloutLimits(deployment(replicas, surge, unavailable));
        let newest = replicaSet('new', 0, 0);
        let old = oldSizes.map((size, index) => replicaSet(`old${index}`, size, size));
        const startTotal = oldSizes.reduce((sum, one) => sum + one, 0);
        const startAvailable = Math.min(startTotal, limits.replicas - limits.maxUnavailable);
        let rounds = 0;
        for (; rounds < 60; rounds++) {
          const size = newReplicaSetSize(limits, newest, [...old, newest]);
          newest = replicaSet('new', size, newest.status?.availableReplicas ?? 0);
          const sizes = oldReplicaSetSizes(limits, newest, old);
          old = old.map((one) => {
            const next = sizes.get(one.metadata.uid) ?? 0;
            expect(next).toBeGreaterThanOrEqual(0);
            expect(next).toBeLessThanOrEqual(one.spec?.replicas ?? 0);
            return replicaSet(one.metadata.uid, next, next);
          });
          const all = [...old, newest];
          const total = all.reduce((sum, one) => sum + (one.spec?.replicas ?? 0), 0);
          const available = all.reduce((sum, one) => sum + (one.status?.availableReplicas ?? 0), 0);
          expect(total).toBeLessThanOrEqual(Math.max(startTotal, limits.replicas + limits.maxSurge));
          expect(available).toBeGreaterThanOrEqual(startAvailable);
          if (total === replicas && newest.spec?.replicas === replicas) break;
          newest = replicaSet('new', size, size); // The pods made in this round become available.
        }
        expect(rounds).toBeLessThan(60);
      },
    ),
  );
});

test('a new size is shared in proportion and adds up', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 60 }),
      fc.array(fc.integer({ min: 1, max: 15 }), { minLength: 2, maxLength: 4 }),
      (replicas, sizes) => {
        const limits = { replicas, maxSurge: 2, maxUnavailable: 0 };
        const next = proportionalSizes(
          limits,
          sizes.map((size, index) => replicaSet(`r${index}`, size, size)),
        );
        const total = [...next.values()].reduce((sum, one) => sum + one, 0);
        expect(Math.min(...next.values())).toBeGreaterThanOrEqual(0);
        expect(total).toBe(replicas === 0 ? 0 : replicas + 2);
      },
    ),
  );
});
