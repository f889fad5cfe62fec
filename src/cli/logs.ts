import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { readInstance } from '../standalone/instance.ts';
import { layout } from '../standalone/layout.ts';
import { CliError, type CliContext } from './context.ts';

const tailBytes = 64 * 1024;
const lookEveryMs = 300;

/** `holdfast logs [role] [--follow]`: the log of one process of the instance; without a role, which there are. */
export async function logs(
  context: CliContext,
  role: string | undefined,
  options: { readonly follow?: boolean },
): Promise<void> {
  const { dataDir, screen, clock, signal } = context;
  const files = await logFiles(dataDir);
  if (role === undefined) {
    for (const [name, file] of files) screen.write(`${name.padEnd(18)}${file}\n`);
    return;
  }
  const file = files.get(role);
  if (!file)
    throw new CliError(`no log of ${role}; there are: ${[...files.keys()].join(', ') || 'none yet'}`);
  let at = Math.max(0, (await stat(file)).size - tailBytes);
  for (;;) {
    const size = (await stat(file)).size;
    if (size < at) at = 0; // Cut off by the supervisor: it goes on from its start.
    if (size > at) {
      for await (const part of createReadStream(file, { start: at, end: size - 1, encoding: 'utf8' }))
        screen.write(part as string);
      at = size;
    }
    if (!options.follow) return;
    await clock.sleep(lookEveryMs, signal);
  }
}

async function logFiles(dataDir: string): Promise<Map<string, string>> {
  const instance = await readInstance(dataDir);
  if (!instance) throw new CliError(`no instance in ${dataDir}; holdfast up makes one`);
  const places = layout(dataDir);
  const found = new Map<string, string>();
  const take = async (folder: string, nameOf: (name: string) => string) => {
    for (const name of await readdir(folder).catch(() => [])) {
      if (name.endsWith('.log')) found.set(nameOf(basename(name, '.log')), join(folder, name));
    }
  };
  await take(places.logs, (name) => name);
  for (const node of instance.config.nodes) {
    await take(join(places.nodes, node.name, 'log'), (name) =>
      name === 'node' ? node.name : `${node.name}-${name}`,
    );
  }
  return found;
}
