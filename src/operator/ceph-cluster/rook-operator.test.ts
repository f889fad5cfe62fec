import type { Pod } from 'kubernetes-types/core/v1.js';
import { expect, test } from 'vitest';
import type { OwnedObjects } from '../objects.ts';
import { liveRookOperator } from './rook-operator.ts';

const signal = new AbortController().signal;

const pod = (image: string, isRunning: boolean): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace: 'rook-ceph', name: 'rook-ceph-operator-x' },
  spec: { containers: [{ name: 'o', image }] },
  status: {
    containerStatuses: [
      {
        name: 'o',
        image,
        imageID: '',
        ready: isRunning,
        restartCount: 0,
        state: isRunning ? { running: {} } : { waiting: {} },
      },
    ],
  },
});

const live = (found: Pod, ownImage?: string) =>
  liveRookOperator(
    { list: () => Promise.resolve([found]) } as unknown as OwnedObjects,
    ['rook-ceph'],
    signal,
    ownImage,
  );

test("Rook's operator is known by its image while it runs", async () => {
  expect(await live(pod('docker.io/rook/ceph:v1.17.2', true))).toBe('rook-ceph/rook-ceph-operator-x');
  expect(await live(pod('docker.io/rook/ceph:v1.17.2', false))).toBeUndefined();
  expect(await live(pod('holdfast:latest', true))).toBeUndefined();
});

test("an operator that runs under Rook's name is not its own rival, and another version is", async () => {
  const own = 'docker.io/rook/ceph:v1.17.2';
  expect(await live(pod(own, true), own)).toBeUndefined();
  expect(await live(pod('docker.io/rook/ceph:v1.16.0', true), own)).toBeDefined();
});
