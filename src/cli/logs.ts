import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { layout } from '../standalone/layout.ts';
import { CliError, type CliContext } from './context.ts';
import { requireInstance } from './find-instance.ts';

const tailBytes = 64 * 1024;
const lookEveryMs = 300;

/** `holdfast logs [process] [--follow]`: the log of one process as `status` names it; without a name, which there are. */
export async function logs(
  context: CliContext,
  process: string | undefined,
  options: { readonly follow?: boolean },
): Promise<void> {
  const { dataDir, screen, clock, signal } = context;
  const files = await logFiles(dataDir);
  if (process === undefined) {
    for (const [name, file] of files) screen.write(`${name.padEnd(18)}${file}\n`);
    return;
  }
  // A node's agent was called by the name of its node alone before `status` named it.
  const file = files.get(process) ?? files.get(agentOf(process));
  if (!file)
    throw new CliError(`no log of ${process}; there are: ${[...files.keys()].join(', ') || 'none yet'}`);
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

const agentOf = (node: string) => `${node}-agent`;

/** Log files by the name of the process, as the supervisor has it. */
async function logFiles(dataDir: string): Promise<Map<string, string>> {
  const instance = await requireInstance(dataDir);
  const places = layout(dataDir);
  const found = new Map<string, string>();
  const take = async (folder: string, nameOf: (name: string) => string) => {
    for (const name of await readdir(folder).catch(() => [])) {
      if (name.endsWith('.log')) found.set(nameOf(basename(name, '.log')), join(folder, name));
    }
  };
  await take(places.logs, (name) => name);
  for (const node of instance.config.nodes) {
    const folder = join(places.nodes, node.name);
    await take(folder, (name) => `${node.name}-${name}`);
    await take(join(folder, 'log'), (name) =>
      name === 'node' ? agentOf(node.name) : `${node.name}-${name}`,
    );
  }
  return found;
}
