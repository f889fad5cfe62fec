import { expect, test } from 'vitest';
import { startOperatorBench } from '../../test/support/operator-bench.ts';
import { namespace } from '../../test/support/operator-node-double.ts';
import { Events } from '../api/core.ts';
import type { Stored } from '../api/resource.ts';
import { tellNews, type Newsworthy } from './news.ts';

const cluster = (ready: [status: string, reason: string] | undefined, more: object = {}) =>
  ({
    apiVersion: 'ceph.rook.io/v1',
    kind: 'CephCluster',
    metadata: { name: 'c', namespace: 'n', uid: 'u', resourceVersion: '1', creationTimestamp: '' },
    status: {
      ...(ready && {
        conditions: [{ type: 'Ready', status: ready[0], reason: ready[1], message: `m ${ready[1]}` }],
      }),
      ...more,
    },
  }) as Stored<Newsworthy>;

function told(before: Stored<Newsworthy>, after: Stored<Newsworthy> | undefined): string[] {
  const news: string[] = [];
  tellNews(
    { event: (_, type, reason, message) => void news.push(`${type} ${reason}: ${message}`) },
    before,
    after,
  );
  return news;
}

test('each new reason is news, and the same one is none', () => {
  const waits = cluster(['False', 'OsdsStarting']);
  expect(told(cluster(undefined), waits)).toEqual(['Normal OsdsStarting: m OsdsStarting']);
  expect(told(waits, waits)).toEqual([]);
  expect(told(waits, cluster(['True', 'ClusterCreated']))).toEqual([
    'Normal ClusterCreated: m ClusterCreated',
  ]);
  expect(told(waits, undefined)).toEqual([]);
});

test('what was ready and is no more is a warning, and so is a failure', () => {
  const ready = cluster(['True', 'ClusterCreated']);
  expect(told(ready, cluster(['False', 'MonsUnreachable']))).toEqual([
    'Warning MonsUnreachable: m MonsUnreachable',
  ]);
  expect(told(cluster(undefined), cluster(['False', 'SpecInvalid'], { phase: 'Failure' }))).toEqual([
    'Warning SpecInvalid: m SpecInvalid',
  ]);
});

test('Ceph’s health is news once the cluster was ready', () => {
  const ok = { ceph: { health: 'HEALTH_OK', details: {} } };
  const warn = { ceph: { health: 'HEALTH_WARN', details: { OSD_DOWN: { message: '1 osds down' } } } };
  const [ready, waits] = [['True', 'ClusterCreated'] as const, ['False', 'OsdsStarting'] as const];
  expect(told(cluster([...ready], ok), cluster([...ready], warn))).toEqual([
    'Warning CephHealthChanged: HEALTH_OK is now HEALTH_WARN: OSD_DOWN: 1 osds down',
  ]);
  expect(told(cluster([...ready], warn), cluster([...ready], ok))).toEqual([
    'Normal CephHealthChanged: HEALTH_WARN is now HEALTH_OK',
  ]);
  expect(told(cluster([...waits], ok), cluster([...waits], warn))).toEqual([]);
});

test('a cluster’s way to Ready stands in its events', async () => {
  const bench = await startOperatorBench();
  try {
    bench.start();
    await bench.createCluster();
    await bench.cluster(({ status }) => status?.phase === 'Ready');
    const { signal } = new AbortController();
    const fieldSelector = 'involvedObject.kind=CephCluster,involvedObject.name=rook-ceph';
    const reasons = async () => {
      const { items } = await bench.client.list(Events, { namespace, fieldSelector }, { signal });
      return items.map(({ type, reason }) => `${type} ${reason}`);
    };
    await expect.poll(reasons).toContain('Normal ClusterCreated');
    expect((await reasons()).filter((one) => one.startsWith('Warning'))).toEqual([]);
  } finally {
    await bench.close();
  }
});
