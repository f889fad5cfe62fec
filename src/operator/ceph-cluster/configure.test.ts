import { expect, test } from 'vitest';
import type { Ceph } from '../../ceph/seam.ts';
import { CephError } from '../../ceph/errors.ts';
import { configureCeph } from './configure.ts';
import type { ClusterWork } from './work.ts';

test('all settings are on their way at once, and those refused are named in their order', async () => {
  const names = ['one', 'two', 'three', 'four'];
  const work = {
    cluster: {
      metadata: { uid: 'u' },
      spec: { cephConfig: { osd: Object.fromEntries(names.map((name) => [name, '1'])) } },
    },
    signal: new AbortController().signal,
  } as unknown as ClusterWork;
  const arrived = new Map<string, () => void>();
  const ceph = {
    mon: (command: { prefix: string; name?: string }) =>
      command.prefix === 'config dump'
        ? Promise.resolve([])
        : new Promise((resolve, reject) => {
            const name = command.name ?? '';
            const refuse = () => reject(new CephError(22, 'EINVAL', 'config set', `no ${name}`));
            arrived.set(name, name === 'one' || name === 'four' ? refuse : () => resolve({}));
            // The last one answers first.
            if (arrived.size === names.length) for (const end of [...arrived.values()].reverse()) end();
          }),
  } as unknown as Ceph;

  const refused = await configureCeph(work, ceph, new Map());

  expect(refused.map(({ field }) => field)).toEqual(['spec.cephConfig.osd.one', 'spec.cephConfig.osd.four']);
});
