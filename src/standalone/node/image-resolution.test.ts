import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { resolveImage } from '../images/image-table.ts';
import { imageResolver, type ImageResolver } from './image-resolution.ts';
import type { ImageCalls } from './runtime.ts';

const { signal } = new AbortController();
let folder: string;
let resolver: ImageResolver;
const present = new Set<string>();
const entry = (name: string, image: string) => ({
  name,
  image,
  digest: '',
  mounts: [{ hostPath: '/usr', containerPath: '/usr' }],
  env: ['A=b'],
  entrypoint: ['/e'],
  cmd: ['c'],
});
const writeTable = (...entries: object[]) =>
  writeFile(join(folder, 'table.json'), JSON.stringify({ entries }));

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'image-resolution-'));
  present.clear();
  const images = {
    imageStatus: ({ image }: { image: { image: string } }) =>
      Promise.resolve({ image: present.has(image.image) ? { uid: { value: 7n } } : undefined }),
  } as unknown as ImageCalls;
  resolver = imageResolver({ tablePath: join(folder, 'table.json'), images, lookup: resolveImage });
});
afterEach(() => rm(folder, { recursive: true, force: true }));
const resolve = (image: string, imagePullPolicy?: string) =>
  resolver.resolve({ name: 'c', image, ...(imagePullPolicy ? { imagePullPolicy } : {}) }, signal);

test('a name of the table stands for its image, with what makes it whole', async () => {
  await writeTable(entry('docker.io/library/debian:12', 'localhost/debian:1'));
  present.add('localhost/debian:1');
  expect(await resolve('debian:12')).toEqual({
    reference: 'localhost/debian:1',
    mounts: [{ hostPath: '/usr', containerPath: '/usr' }],
    env: ['A=b'],
    entrypoint: ['/e'],
    cmd: ['c'],
    uid: 7n,
  });
});

test('a changed table is read anew', async () => {
  await writeTable();
  await expect(resolve('debian:12')).rejects.toMatchObject({ reason: 'ErrImagePull' });
  await writeTable(entry('docker.io/library/debian:12', 'localhost/debian:2'));
  present.add('localhost/debian:2');
  expect((await resolve('debian:12')).reference).toBe('localhost/debian:2');
});

test('an image that containerd has, but the table not, keeps its own entrypoint', async () => {
  await writeTable();
  present.add('docker.io/library/mine:latest');
  expect(await resolve('mine')).toMatchObject({
    reference: 'docker.io/library/mine:latest',
    entrypoint: [],
    mounts: [],
  });
});

test.each([
  ['nowhere/thing:1', undefined, 'ErrImagePull', 'not in the image table'],
  ['nowhere/thing:1', undefined, 'ErrImagePull', 'no way to a registry; there are debian'],
  ['debian:99', undefined, 'ErrImagePull', 'of debian there are 12'],
  ['nowhere/thing:1', 'Never', 'ErrImageNeverPull', 'pull policy of Never'],
  ['debian:12', undefined, 'ErrImagePull', 'which containerd does not have'],
  ['Not A Name', undefined, 'InvalidImageName', "couldn't parse"],
  ['', undefined, 'InvalidImageName', "couldn't parse"],
])('%s with policy %s is %s', async (image, policy, reason, message) => {
  await writeTable(entry('docker.io/library/debian:12', 'localhost/debian:1'));
  await expect(resolve(image, policy)).rejects.toMatchObject({
    reason,
    message: expect.stringContaining(message) as string,
  });
});
