import { afterAll, beforeAll, describe, test } from 'vitest';
import { fakeCeph } from '../../src/ceph/fake/fake-ceph.ts';
import { startCephCluster } from '../support/ceph-cluster.ts';
import { administration } from './ceph/administration.ts';
import type { Backend } from './ceph/backend.ts';
import { data } from './ceph/data.ts';

const backends: readonly { name: string; start: () => Promise<Backend> }[] = [
  {
    name: 'the fake',
    start: async () => {
      const fake = fakeCeph({ pools: ['rbd'], osds: Array.from({ length: 3 }, () => ({ host: 'vm' })) });
      fake.state.rules.get('replicated_rule')!.failureDomain = 'osd';
      return { ceph: fake, other: fake.connect(), stop: async () => undefined };
    },
  },
  {
    name: 'a real cluster',
    start: async () => {
      const cluster = await startCephCluster();
      const other = cluster.connect();
      return {
        ceph: cluster.ceph,
        other,
        stop: async () => {
          await other.close();
          await cluster.stop();
        },
      };
    },
  },
];

describe.each(backends)('$name', ({ start }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await start();
  });
  afterAll(async () => await backend?.stop());

  test.each(Object.entries({ ...administration, ...data }))('%s', (_, holds) => holds(backend));
});
