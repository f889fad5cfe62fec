import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { decideImages, readImageTable, resolveImage, writeImageTable } from './image-table.ts';
import { cephTags, knownImages } from './known-images.ts';

const facts = (releaseHash: string, cephVersion = '16.2.15+ds-0+deb12u2') =>
  knownImages({ cephVersion, releaseHash, busyboxApplets: ['sh', 'wget'] });
const decide = (known: ReturnType<typeof facts>, before = decideImages({ entries: [] }, [], new Set())) =>
  decideImages(before, known.rules, known.replaced);

test('names in every spelling find their image; a name outside the table finds none', () => {
  const table = decide(facts('aa'));
  const imageOf = (name: string) => resolveImage(table, name)?.image;
  expect(imageOf('busybox')).toBe('localhost/busybox:1');
  expect(imageOf('docker.io/library/debian:12')).toBe('localhost/debian:1');
  expect(imageOf('quay.io/ceph/ceph:v16.2.15')).toBe('localhost/debian:1');
  expect(imageOf('ghcr.io/holdfast/holdfast:latest')).toBe('localhost/holdfast:aa');
  for (const name of ['nginx', 'quay.io/ceph/ceph:v18.2.0', 'evil.example/library/busybox', 'busybox:9'])
    expect(imageOf(name)).toBeUndefined();
});

test('a digest finds the image that was recorded with it, and no other', () => {
  const table = decide(facts('aa'));
  const digest = resolveImage(table, 'busybox')?.digest ?? '';
  expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect(resolveImage(table, `busybox@${digest}`)?.image).toBe('localhost/busybox:1');
  expect(resolveImage(table, `busybox@sha256:${'0'.repeat(64)}`)).toBeUndefined();
});

test('what was decided stays; only the tag latest of our own image follows a build', () => {
  const first = decide(facts('aa'));
  const second = decide(facts('bb', '18.2.0'), first);
  const imageOf = (name: string) => resolveImage(second, name)?.image;
  expect(imageOf('holdfast:latest')).toBe('localhost/holdfast:bb');
  expect(imageOf('holdfast:aa')).toBe('localhost/holdfast:aa');
  expect(resolveImage(second, 'quay.io/ceph/ceph:v16')).toEqual(resolveImage(first, 'quay.io/ceph/ceph:v16'));
});

test('a table outlives the process as it was', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-images-'));
  try {
    const path = join(folder, 'images.json');
    expect(await readImageTable(path)).toEqual({ entries: [] });
    const table = decide(facts('aa'));
    await writeImageTable(path, table);
    expect(await readImageTable(path)).toEqual(table);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("Ceph's tags follow the package's version, whatever Debian adds to it", () => {
  expect(cephTags('16.2.15+ds-0+deb12u2')).toEqual(['v16.2.15', 'v16.2', 'v16']);
  expect(cephTags('unknown')).toEqual([]);
});
