import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseBytes } from '../lib/quantity.ts';
import { bringUp } from '../standalone/bring-up.ts';
import type { Tree } from '../standalone/prepare-instance.ts';
import { CliError, type CliContext } from './context.ts';
import { createProgress } from './progress.ts';

export interface UpOptions {
  readonly disks?: string;
  readonly diskSize?: string;
}

const maxDisks = 32;
const smallestDisk = 1024n ** 3n; // Ceph's bluestore needs most of it for itself.

/** `holdfast up` */
export async function up(context: CliContext, options: UpOptions): Promise<void> {
  requireRoot();
  const disks = options.disks === undefined ? undefined : diskCount(options.disks);
  const diskSizeBytes = options.diskSize === undefined ? undefined : diskBytes(options.diskSize);
  const tree = await readTree(context.cacheDir);
  const progress = createProgress(context.screen, context.clock);
  await bringUp({
    ...context,
    tree,
    disks,
    diskSizeBytes,
    nowMs: context.clock.now(),
    step: (title, body) => progress.step(title, (step) => body((text) => step.detail(text))),
  });
}

export function requireRoot(): void {
  if (process.getuid?.() !== 0)
    throw new CliError('standalone Holdfast needs root: run it as root, or with sudo');
}

function diskCount(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count > maxDisks)
    throw new CliError(`--disks ${text}: give a whole number from 0 to ${maxDisks}`);
  return count;
}

function diskBytes(text: string): number {
  const bytes = parseBytes(text);
  if (bytes === undefined) throw new CliError(`--disk-size ${text}: give a size such as 10Gi`);
  if (bytes < smallestDisk) throw new CliError(`--disk-size ${text}: a disk needs at least 1Gi`);
  return Number(bytes);
}

async function readTree(cacheDir: string): Promise<Tree> {
  const text = await readFile(join(cacheDir, 'tree.json'), 'utf8').catch(() => undefined);
  if (text === undefined) {
    throw new CliError(
      `no packages are unpacked in ${cacheDir} yet: npm start does it, or node scripts/setup.mjs`,
    );
  }
  return JSON.parse(text) as Tree;
}
