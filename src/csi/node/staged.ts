import { createHash } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { FilesystemType } from '../../host/filesystems.ts';
import { writeFileAtomic } from '../../lib/atomic-file.ts';
import type { ImageBody } from '../mounter/protocol.ts';

/** What csi node must know of a staged volume when kubelet names nothing but its id: after a restart too. */
export interface StagedVolume {
  readonly volumeId: string;
  readonly image: ImageBody;
  readonly stagingPath: string;
  readonly block: boolean;
  readonly fsType: FilesystemType;
}

export interface StagedVolumes {
  read(volumeId: string): Promise<StagedVolume | undefined>;
  write(volume: StagedVolume): Promise<void>;
  forget(volumeId: string): Promise<void>;
}

/** One file a volume below `folder`, which has to outlive the pod. No key is ever in it. */
export function stagedVolumes(folder: string): StagedVolumes {
  const path = (volumeId: string) =>
    join(folder, `${createHash('sha256').update(volumeId).digest('hex')}.json`);
  return {
    async read(volumeId) {
      const text = await readFile(path(volumeId), 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined;
        throw error;
      });
      return text === undefined ? undefined : (JSON.parse(text) as StagedVolume);
    },
    async write(volume) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await writeFileAtomic(path(volume.volumeId), JSON.stringify(volume));
    },
    forget: (volumeId) => rm(path(volumeId), { force: true }),
  };
}
