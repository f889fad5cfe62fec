import type { Pod } from 'kubernetes-types/core/v1.js';
import { expect, test } from 'vitest';
import type { Stored } from '../../api/resource.ts';
import { kubeErrorOf } from '../../kube/errors.ts';
import { createPods, type PodBatch } from './pod-batches.ts';

function batchWhere(answer: (count: number) => Stored<Pod>) {
  const told: string[] = [];
  const remembered: Stored<Pod>[] = [];
  let calls = 0;
  const batch = {
    client: { create: async () => answer(++calls) },
    cache: { remember: (pod: Stored<Pod>) => remembered.push(pod) },
    events: {
      event: (_o: unknown, _t: string, reason: string, message: string) => told.push(`${reason}: ${message}`),
    },
    owner: {},
    signal: new AbortController().signal,
  } as unknown as PodBatch;
  return { batch, told, remembered, calls: () => calls };
}
const pods = Array.from({ length: 50 }, (): Pod => ({}));
const made = (count: number) => ({ metadata: { name: `p${count}` } }) as Stored<Pod>;

test('a template that is refused costs one call and one event, and the failure is answered', async () => {
  const refusal = kubeErrorOf(422, { kind: 'Status', reason: 'Invalid', message: 'no such field' });
  const { batch, told, calls } = batchWhere(() => {
    throw refusal;
  });
  expect(await createPods(batch, pods)).toEqual({ pods: [], failure: refusal });
  expect(calls()).toBe(1);
  expect(told).toEqual(['FailedCreate: Error creating: no such field']);
});

test('what was made before a failure is answered and remembered', async () => {
  const { batch, remembered } = batchWhere((count) => {
    if (count > 3) throw new Error('quota');
    return made(count);
  });
  const result = await createPods(batch, pods);
  expect([result.pods.length, remembered.length, result.failure?.message]).toEqual([3, 3, 'quota']);
});

test('a namespace that goes away is no failure', async () => {
  const { batch, told } = batchWhere(() => {
    throw kubeErrorOf(403, {
      kind: 'Status',
      reason: 'Forbidden',
      details: { causes: [{ reason: 'NamespaceTerminating' }] },
    });
  });
  expect(await createPods(batch, pods)).toEqual({ pods: [] });
  expect(told).toEqual([]);
});
