import { readFile, stat } from 'node:fs/promises';
import type { Container } from 'kubernetes-types/core/v1.js';
import { isRpcError, Code } from '../../lib/grpc.ts';
import { normalizeImageName } from '../images/image-name.ts';
import { namesThereAre } from '../images/image-table.ts';
import type { ImageEntry, ImageTable } from '../images/table.ts';
import type { ResolvedImage } from './container-config.ts';
import type { ImageCalls } from './runtime.ts';
import { StartError } from './start-error.ts';

export interface ImageResolver {
  /** What the container's image stands for here. Throws StartError with Kubernetes' reasons. */
  resolve(container: Container, signal: AbortSignal): Promise<ResolvedImage>;
}

export interface ImageResolverDeps {
  /** Path of the image table, read anew when it changes. */
  readonly tablePath: string;
  readonly images: ImageCalls;
  /** The table's own rule for names. */
  lookup(table: ImageTable, name: string): ImageEntry | undefined;
}

const imageMs = 10_000;

export function imageResolver({ tablePath, images, lookup }: ImageResolverDeps): ImageResolver {
  let table: { readonly mark: string; readonly content: ImageTable } | undefined;
  const readTable = async (): Promise<ImageTable> => {
    const { mtimeMs, ino, size } = await stat(tablePath);
    const mark = `${mtimeMs}:${ino}:${size}`;
    if (table?.mark !== mark)
      table = { mark, content: JSON.parse(await readFile(tablePath, 'utf8')) as ImageTable };
    return table.content;
  };
  const inRuntime = async (reference: string, signal: AbortSignal) => {
    try {
      return (await images.imageStatus({ image: { image: reference } }, { signal, timeoutMs: imageMs }))
        .image;
    } catch (error) {
      if (isRpcError(error, Code.NOT_FOUND)) return undefined;
      throw error;
    }
  };
  return {
    async resolve(container, signal) {
      const name = container.image ?? '';
      if (!isImageName(name))
        throw new StartError(
          'InvalidImageName',
          `Failed to apply default image tag "${name}": couldn't parse image name`,
        );
      const names = await readTable();
      const entry = lookup(names, name);
      const reference = entry?.image ?? normalizeImageName(name);
      const image = await inRuntime(reference, signal);
      if (!image) throw missing(container, name, names, entry);
      return {
        reference,
        mounts: entry?.mounts ?? [],
        env: entry?.env ?? [],
        entrypoint: entry?.entrypoint ?? [],
        cmd: entry?.cmd ?? [],
        uid: image.uid?.value,
      };
    },
  };
}

function missing(
  container: Container,
  name: string,
  table: ImageTable,
  entry: ImageEntry | undefined,
): StartError {
  if (container.imagePullPolicy === 'Never')
    return new StartError(
      'ErrImageNeverPull',
      `Container image "${name}" is not present with pull policy of Never`,
    );
  const why = entry
    ? `the image table maps it to ${entry.image}, which containerd does not have`
    : `it is not in the image table of this node, which has no way to a registry; ${namesThereAre(table, name)}`;
  return new StartError(
    'ErrImagePull',
    `failed to pull and unpack image "${normalizeImageName(name)}": ${why}`,
  );
}

const namePattern =
  /^(?:[a-zA-Z0-9.-]+(?::\d+)?\/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*(?::[\w][\w.-]{0,127})?(?:@[a-z0-9]+:[0-9a-f]{32,})?$/;

const isImageName = (name: string): boolean => namePattern.test(name);
