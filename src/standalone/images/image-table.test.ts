import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { decideImages, namesThereAre, readImageTable, resolveImage, writeImageTable } from './image-table.ts';
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

test("every tag of Rook's operator stands for this release, and follows a build", () => {
  const first = decide(facts('aa'));
  for (const name of ['rook/ceph:v1.17.2', 'docker.io/rook/ceph:master', 'rook/ceph'])
    expect(resolveImage(first, name)?.image).toBe('localhost/holdfast:aa');
  const digest = `sha256:${'0'.repeat(64)}`;
  for (const name of [`rook/ceph@${digest}`, 'quay.io/rook/ceph:v1.17.2', 'rook/ceph-csi:v1'])
    expect(resolveImage(first, name)).toBeUndefined();
  const second = decide(facts('bb'), first);
  expect(resolveImage(second, 'rook/ceph:v1.17.2')?.image).toBe('localhost/holdfast:bb');
});

test('who names an image that is not there reads which names are', () => {
  const table = decide(facts('aa'));
  expect(namesThereAre(table, 'quay.io/ceph/ceph:v18.2.0')).toBe(
    'of quay.io/ceph/ceph there are v16.2.15, v16.2, v16',
  );
  expect(namesThereAre(table, 'nginx')).toBe(
    'there are debian, busybox, quay.io/ceph/ceph, ceph/ceph, holdfast, ghcr.io/holdfast/holdfast, rook/ceph',
  );
  expect(namesThereAre({ entries: [] }, 'nginx')).toBe('there are none');
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
