import { readFile } from 'node:fs/promises';
import { layout } from '../standalone/layout.ts';
import { CliError, type CliContext } from './context.ts';

/** `holdfast kubeconfig [--path]` */
export async function kubeconfig(
  { dataDir, screen }: CliContext,
  options: { readonly path?: boolean },
): Promise<void> {
  const file = layout(dataDir).kubeconfig;
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) throw new CliError(`no kubeconfig in ${dataDir}; holdfast up makes one`);
  screen.write(options.path ? `${file}\n` : text);
}
