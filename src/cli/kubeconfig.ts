import { readFile } from 'node:fs/promises';
import { layout } from '../standalone/layout.ts';
import { CliError, command, type CliContext } from './context.ts';
import { requireInstance } from './find-instance.ts';

/** `holdfast kubeconfig [--path]` */
export async function kubeconfig(
  { dataDir, screen }: CliContext,
  options: { readonly path?: boolean },
): Promise<void> {
  const file = layout(dataDir).kubeconfig;
  await requireInstance(dataDir);
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined)
    throw new CliError(`no kubeconfig in ${dataDir} yet; ${command('up', dataDir)} makes it`);
  screen.write(options.path ? `${file}\n` : text);
}
