import { createHash } from 'node:crypto';
import { makeTar, type TarEntry } from './tar.ts';

export interface ImageConfig {
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir?: string;
}

export interface OciArchive {
  readonly bytes: Buffer;
  /** `sha256:...` of the manifest: what a pull by digest would name. */
  readonly digest: string;
}

/** An OCI image archive of one layer, as `ctr images import` takes it. */
export function makeOciArchive(name: string, entries: readonly TarEntry[], config: ImageConfig): OciArchive {
  const layer = makeTar(entries);
  const layerDigest = digestOf(layer);
  const image = json({
    created: '1970-01-01T00:00:00Z',
    architecture: 'amd64',
    os: 'linux',
    config: {
      Env: config.env,
      Entrypoint: config.entrypoint,
      Cmd: config.cmd,
      WorkingDir: config.workingDir ?? '/',
    },
    rootfs: { type: 'layers', diff_ids: [layerDigest] },
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: digestOf(image),
      size: image.length,
    },
    layers: [
      { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: layerDigest, size: layer.length },
    ],
  });
  const index = json({
    schemaVersion: 2,
    manifests: [
      {
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest: digestOf(manifest),
        size: manifest.length,
        annotations: { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name },
        platform: { architecture: 'amd64', os: 'linux' },
      },
    ],
  });
  const blob = (content: Buffer): TarEntry =>
    file(`blobs/sha256/${digestOf(content).slice('sha256:'.length)}`, content);
  const bytes = makeTar([
    file('oci-layout', json({ imageLayoutVersion: '1.0.0' })),
    file('index.json', index),
    blob(manifest),
    blob(image),
    blob(layer),
  ]);
  return { bytes, digest: digestOf(manifest) };
}

const digestOf = (content: Uint8Array) => `sha256:${createHash('sha256').update(content).digest('hex')}`;
const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const file = (path: string, content: Buffer): TarEntry => ({ type: 'file', path, mode: 0o644, content });
