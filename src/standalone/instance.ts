import { randomBytes } from 'node:crypto';
import { lstat, mkdir, readFile, readdir, realpath, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../lib/atomic-file.ts';

const marker = 'holdfast-instance';

/** What one standalone instance decided at its first start. It is also the marker of its data directory. */
const InstanceShape = z.object({
  kind: z.literal(marker),
  version: z.literal(1),
  /** Eight hex digits: in names of cgroups, links and loops, so that two instances never meet. */
  id: z.string().regex(/^[0-9a-f]{8}$/),
  createdAt: z.string(),
  apiPort: z.int(),
  etcdPort: z.int(),
  etcdPeerPort: z.int(),
  serviceCidr: z.string(),
  podCidr: z.string(),
  fabricCidr: z.string(),
  nodes: z.array(z.object({ name: z.string(), disks: z.int(), diskSizeBytes: z.number() })).min(1),
});

export type Instance = z.infer<typeof InstanceShape>;

export interface OpenInstance {
  readonly dataDir: string;
  readonly config: Instance;
}

/** A data directory that cannot be used; the message says what would be right. */
export class DataDirError extends Error {
  readonly code = 'DATA_DIR_REFUSED';
}

// A unix socket's path holds 107 bytes, and ours stand below the data directory.
const longestPath = 70;
const systemDirs =
  /^\/(bin|boot|dev|etc|home|lib|lib64|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var)?(\/(lib|log|cache|tmp|local|share|home))?$/;

/** Refuses a place that is not ours to fill or remove, before anything is started. */
export async function checkDataDir(path: string): Promise<void> {
  if (!isAbsolute(path) || normalize(path).replace(/(.)\/$/, '$1') !== path) {
    throw new DataDirError(`--data-dir ${path}: give an absolute path without . and ..`);
  }
  if (systemDirs.test(path)) {
    throw new DataDirError(
      `--data-dir ${path}: is a system folder; give one of its own, such as /var/lib/holdfast`,
    );
  }
  if (Buffer.byteLength(path) > longestPath) {
    throw new DataDirError(
      `--data-dir ${path}: is longer than ${longestPath} bytes, too long for the sockets in it`,
    );
  }
  const parent = await realpath(dirname(path)).catch(() => undefined);
  if (parent === undefined) throw new DataDirError(`--data-dir ${path}: ${dirname(path)} does not exist`);
  if (parent !== dirname(path))
    throw new DataDirError(`--data-dir ${path}: a part of it is a symlink; give ${parent}`);
  const entry = await lstat(path).catch(() => undefined);
  if (!entry) return;
  if (entry.isSymbolicLink())
    throw new DataDirError(`--data-dir ${path}: is a symlink; give the folder it points to`);
  if (!entry.isDirectory()) throw new DataDirError(`--data-dir ${path}: is not a folder`);
  if (entry.uid !== (process.getuid?.() ?? 0)) {
    throw new DataDirError(`--data-dir ${path}: belongs to uid ${entry.uid}; give a folder of your own`);
  }
  if ((await readMarker(path)) === undefined && !(await isUnused(path))) {
    throw new DataDirError(
      `--data-dir ${path}: holds files that are not Holdfast's; give an empty or new folder`,
    );
  }
}

/** Empty, or with nothing in it but the lock of an `up` that ended before it wrote the marker. */
async function isUnused(dataDir: string): Promise<boolean> {
  const names = await readdir(dataDir);
  if (names.length === 0) return true;
  if (names.length > 1 || names[0] !== 'run') return false;
  const run = await lstat(join(dataDir, 'run'));
  return (
    run.isDirectory() && (await readdir(join(dataDir, 'run'))).every((name) => name.startsWith('up.lock'))
  );
}

async function readMarker(dataDir: string): Promise<Instance | undefined> {
  const text = await readFile(join(dataDir, 'instance.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = InstanceShape.safeParse(value);
  if (parsed.success) return parsed.data;
  if ((value as { kind?: unknown }).kind !== marker) return undefined;
  throw new DataDirError(
    `${dataDir}/instance.json: was written by another version of Holdfast, or is damaged`,
  );
}

/** The instance that lives in `dataDir`, or undefined where there is none. */
export async function readInstance(dataDir: string): Promise<OpenInstance | undefined> {
  const config = await readMarker(dataDir);
  return config && { dataDir, config };
}

export type InstanceChoices = Omit<Instance, 'kind' | 'version' | 'id' | 'createdAt'>;

/** Marks `dataDir` as ours. The caller has checked it. */
export async function createInstance(
  dataDir: string,
  choices: InstanceChoices,
  nowMs: number,
): Promise<OpenInstance> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const config: Instance = {
    kind: marker,
    version: 1,
    id: randomBytes(4).toString('hex'),
    createdAt: new Date(nowMs).toISOString(),
    ...choices,
  };
  await saveInstance({ dataDir, config });
  return { dataDir, config };
}

export async function saveInstance({ dataDir, config }: OpenInstance): Promise<void> {
  await writeFileAtomic(join(dataDir, 'instance.json'), `${JSON.stringify(config, undefined, 2)}\n`);
}

/**
 * Removes an instance's folder: only one with our marker, nothing mounted below it, never across a
 * filesystem, the marker last, so that a removal that was cut short can be repeated.
 */
export async function purgeDataDir(dataDir: string): Promise<void> {
  const entry = await lstat(dataDir).catch(() => undefined);
  if (!entry) return;
  await checkDataDir(dataDir);
  if ((await readMarker(dataDir)) === undefined) {
    // What is not ours was refused above; at most a lock is left.
    await rm(join(dataDir, 'run'), { recursive: true, force: true });
    await rmdir(dataDir);
    return;
  }
  const mounted = await mountsBelow(dataDir);
  if (mounted.length > 0) {
    throw new DataDirError(
      `${dataDir}: ${mounted[0]} is still mounted, so nothing was removed; run holdfast down first`,
    );
  }
  const device = (await stat(dataDir)).dev;
  for (const name of await readdir(dataDir)) {
    if (name !== 'instance.json') await removeOnDevice(join(dataDir, name), device);
  }
  await rm(join(dataDir, 'instance.json'));
  await rmdir(dataDir);
}

async function mountsBelow(dataDir: string): Promise<string[]> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  return table
    .split('\n')
    .map((line) =>
      (line.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(parseInt(octal, 8)),
      ),
    )
    .filter((point) => point === dataDir || point.startsWith(`${dataDir}/`));
}

async function removeOnDevice(path: string, device: number): Promise<void> {
  const entry = await lstat(path);
  if (entry.dev !== device)
    throw new DataDirError(`${path}: is on another filesystem, so it was not removed`);
  if (!entry.isDirectory()) return await rm(path);
  for (const name of await readdir(path)) await removeOnDevice(join(path, name), device);
  await rmdir(path);
}
