import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { makeOciArchive } from './oci-archive.ts';
import type { TarEntry } from './tar.ts';

const entries: TarEntry[] = [
  { type: 'directory', path: 'tmp', mode: 0o1777 },
  { type: 'link', path: 'bin', target: 'usr/bin' },
  { type: 'file', path: 'pause', mode: 0o755, content: Buffer.from('#!static\n') },
];
const config = { env: ['PATH=/bin'], entrypoint: ['/pause'], cmd: ['-P'] };
const archive = () => makeOciArchive('localhost/pause:1', entries, config);
const tar = (input: Uint8Array, ...args: string[]) => execFileSync('tar', args, { input });

interface Index {
  readonly manifests: readonly { readonly digest: string; readonly annotations: Record<string, string> }[];
}
interface Manifest {
  readonly config: { readonly digest: string };
  readonly layers: readonly { readonly digest: string; readonly size: number }[];
}

test('every blob is what its name says, from the index down to the layer', () => {
  const { bytes, digest } = archive();
  const blob = (name: string) => tar(bytes, '-xOf', '-', `blobs/sha256/${name.replace('sha256:', '')}`);
  const index = JSON.parse(tar(bytes, '-xOf', '-', 'index.json').toString()) as Index;
  expect(index.manifests[0]).toMatchObject({
    digest,
    annotations: { 'io.containerd.image.name': 'localhost/pause:1' },
  });
  const manifest = JSON.parse(blob(digest).toString()) as Manifest;
  const [layer] = manifest.layers;
  const content = blob(layer?.digest ?? '');
  expect(content).toHaveLength(layer?.size ?? 0);
  expect(`sha256:${createHash('sha256').update(content).digest('hex')}`).toBe(layer?.digest);
  expect(JSON.parse(blob(manifest.config.digest).toString())).toMatchObject({
    config: { Entrypoint: ['/pause'], Cmd: ['-P'] },
    rootfs: { diff_ids: [layer?.digest] },
  });
  const listing = tar(content, '-tvf', '-').toString();
  expect(listing).toMatch(/^drwxrwxrwt (root\/root|0\/0)\s+0 .* tmp\/$/m);
  expect(listing).toMatch(/^l.* bin -> usr\/bin$/m);
  expect(listing).toMatch(/^-rwxr-xr-x .* 9 .* pause$/m);
});

test('the same content has the same digest, on every machine and day', () => {
  expect(archive().digest).toBe(archive().digest);
  expect(archive().digest).not.toBe(makeOciArchive('localhost/pause:1', entries.slice(1), config).digest);
});
