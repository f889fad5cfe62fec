import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Ceph } from '../../src/ceph/seam.ts';
import { systemClock } from '../../src/lib/clock.ts';

const limitMs = 60_000;

/** Sockets come a moment after their process starts. */
export async function untilThere(folder: string, ...names: string[]): Promise<void> {
  for (let turn = 0; turn < 200; turn++) {
    const found = await Promise.all(
      names.map((name) =>
        access(join(folder, name)).then(
          () => true,
          () => false,
        ),
      ),
    );
    if (found.every(Boolean)) return;
    await systemClock.sleep(25);
  }
  throw new Error(`no socket ${names.join(', ')}`);
}

/** No image, no trash and no journal. */
export async function untilEmpty(ceph: Ceph): Promise<void> {
  const place = { pool: 'rbd' };
  const options = { signal: AbortSignal.timeout(limitMs) };
  let left: unknown;
  for (let turn = 0; turn < 100; turn++) {
    left = [
      ...(await ceph.rbd.list(place, options)),
      ...(await ceph.rbd.trashList(place, options)),
      ...(await ceph.objects.omapList(place, 'csi.volumes.default', options)),
      ...(await ceph.objects.omapList(place, 'holdfast.trash', options)),
    ];
    if ((left as unknown[]).length === 0) return;
    await systemClock.sleep(100);
  }
  expect(left).toEqual([]);
}
