import { readFile } from 'node:fs/promises';
import { writeFileAtomic } from '../../lib/atomic-file.ts';
import type { BaseImage } from './base-images.ts';
import { normalizeImageName } from './image-name.ts';
import type { ImageEntry, ImageTable } from './table.ts';

/** The entry that a pod's image name stands for, or undefined: then only a registry could have it. */
export function resolveImage(table: ImageTable, name: string): ImageEntry | undefined {
  const wanted = normalizeImageName(name);
  return (
    table.entries.find((entry) => entry.name === wanted) ??
    table.entries.find((entry) => entry.digest !== '' && wanted.endsWith(`@${entry.digest}`)) ??
    // A digest asks for exactly that content, so any tag does not stand for it.
    (wanted.includes('@')
      ? undefined
      : table.entries.find(({ name }) => name === `${repositoryOf(wanted)}:*`))
  );
}

const repositoryOf = (normalized: string): string => normalized.replace(/(@.*|:[^:/]*)$/, '');
const shortName = (normalized: string): string => normalized.replace(/^docker\.io\/(library\/)?/, '');

/** For a person whose image is not in the table: its repository's tags, or else the repositories there are. */
export function namesThereAre(table: ImageTable, name: string): string {
  const repository = repositoryOf(normalizeImageName(name));
  const names = table.entries.map((entry) => entry.name);
  const tags = names.filter((one) => repositoryOf(one) === repository);
  if (tags.length > 0)
    return `of ${shortName(repository)} there are ${tags.map((one) => one.slice(repository.length + 1)).join(', ')}`;
  const repositories = [...new Set(names.map((one) => shortName(repositoryOf(one))))];
  return `there are ${repositories.join(', ') || 'none'}`;
}

/** What an image name stands for, before anything was decided. */
export interface ImageRule {
  /** Normalised name; the tag `*` stands for every tag that has no rule of its own. */
  readonly name: string;
  readonly base: BaseImage;
}

const entryOf = (name: string, { image, archive, config, mounts }: BaseImage): ImageEntry => ({
  name,
  image,
  digest: archive.digest,
  mounts,
  env: config.env,
  entrypoint: config.entrypoint,
  cmd: config.cmd,
});

/**
 * Joins what was decided before with what is known now. A name once decided stays what it was: only the
 * names in `replaced`, such as `holdfast:latest` after a build, follow the new decision.
 */
export function decideImages(
  before: ImageTable,
  rules: readonly ImageRule[],
  replaced: ReadonlySet<string>,
): ImageTable {
  const entries = new Map(before.entries.map((entry) => [entry.name, entry]));
  for (const { name, base } of rules) {
    if (!entries.has(name) || replaced.has(name)) entries.set(name, entryOf(name, base));
  }
  return { entries: [...entries.values()] };
}

export async function readImageTable(path: string): Promise<ImageTable> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  return text === undefined ? { entries: [] } : (JSON.parse(text) as ImageTable);
}

export async function writeImageTable(path: string, table: ImageTable): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify(table, undefined, 1)}\n`, 0o644);
}
