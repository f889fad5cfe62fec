import { lstat, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import type { ImageSpec } from './attacher.ts';
import { imageFileName, ImageShape } from './image-key.ts';

const Loop = z.object({
  device: z.string(),
  major: z.int(),
  minor: z.int(),
  /** The kernel's number of this very use of the device: its name and numbers are used again. */
  sequence: z.string().optional(),
});
const LedgerShape = z.object({
  image: ImageShape,
  readOnly: z.boolean(),
  /** Only the node that holds the image's lock may have it. */
  exclusive: z.boolean().optional(),
  /** Which start of the kernel it is from: processes, loops and mounts of another one are gone. */
  bootId: z.string().optional(),
  /** The daemon, once it runs. */
  daemon: z.object({ pid: z.int(), startTicks: z.number() }).optional(),
  /** The FUSE file, by what a loop knows of it: the file itself cannot be asked once its daemon is dead. */
  backing: z.object({ major: z.int(), minor: z.int(), inode: z.number() }).optional(),
  loop: Loop.optional(),
  /** How the daemon reaches the cluster, for the next one; the key is in the keyring beside. */
  connection: z.object({ monHost: z.string(), user: z.string() }).optional(),
  /** What csi node mounted from the device; absent before that, and of a volume that is a block device. */
  filesystem: z.object({ fsType: z.string(), options: z.array(z.string()) }).optional(),
  /** Loops whose daemon died and whose users still have to be moved to the present loop. */
  dead: z.array(Loop).optional(),
});

/** What is known of one attachment, written before each thing it names comes to be. */
export type LedgerEntry = z.infer<typeof LedgerShape>;

/** The private folder of one attachment and the files in it. */
export interface AttachmentFiles {
  readonly dir: string;
  readonly conf: string;
  readonly keyring: string;
  /** The file on which the daemon mounts its export. */
  readonly export: string;
  readonly qmp: string;
  readonly pidFile: string;
  /** Where a filesystem is mounted anew before it takes the places of the dead one. */
  readonly mount: string;
}

export interface QsdLedger {
  files(image: ImageSpec): AttachmentFiles;
  read(image: ImageSpec): Promise<LedgerEntry | undefined>;
  write(entry: LedgerEntry): Promise<void>;
  /** Removes the private folder with the key in it. */
  forget(image: ImageSpec): Promise<void>;
  list(): Promise<LedgerEntry[]>;
}

const ledgerName = 'ledger.json';
const maxEntries = 4096;

/** A folder an attachment. */
export function qsdLedger(stateDir: string): QsdLedger {
  const files = (image: ImageSpec): AttachmentFiles => {
    const dir = join(stateDir, imageFileName(image));
    return {
      dir,
      conf: join(dir, 'ceph.conf'),
      keyring: join(dir, 'keyring'),
      export: join(dir, 'dev'),
      qmp: join(dir, 'qmp'),
      pidFile: join(dir, 'pid'),
      mount: join(dir, 'mount'),
    };
  };
  const readDir = async (dir: string): Promise<LedgerEntry | undefined> => {
    const text = await readFile(join(dir, ledgerName), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
      throw error;
    });
    return text === undefined ? undefined : LedgerShape.parse(JSON.parse(text));
  };
  return {
    files,
    read: (image) => readDir(files(image).dir),
    async write(entry) {
      const { dir } = files(entry.image);
      await mkdir(dir, { recursive: true, mode: 0o700 });
      if (!(await lstat(dir)).isDirectory()) throw new Error(`${dir} is no folder`);
      await writeFileAtomic(join(dir, ledgerName), `${JSON.stringify(entry, null, 2)}\n`, 0o600);
    },
    async forget(image) {
      const own = files(image);
      // One by one: a FUSE mount still on `dev` would make a recursive removal walk into it.
      for (const path of [own.conf, own.keyring, own.qmp, own.pidFile, own.export, join(own.dir, ledgerName)])
        await rm(path, { force: true });
      await rm(own.dir, { recursive: true, force: true });
    },
    async list() {
      const names = await readdir(stateDir).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return [];
        throw error;
      });
      const entries = await Promise.all(
        names.slice(0, maxEntries).map((name) => readDir(join(stateDir, name))),
      );
      return entries.filter((entry) => entry !== undefined);
    },
  };
}
