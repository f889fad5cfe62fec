import { runCommand } from '../../lib/run-command.ts';
import { treeTool } from './tree-tools.ts';

/** What the tree's busybox can be called as. */
export async function busyboxApplets(tree: string, signal: AbortSignal): Promise<string[]> {
  // Debian's is static, so it needs no loader of the tree's.
  const busybox = treeTool(tree, 'bin/busybox').before.at(-1) ?? '';
  const { stdout } = await runCommand(busybox, ['--list'], { signal });
  return stdout.split('\n').filter((name) => /^[a-z0-9[][a-z0-9_.[-]*$/.test(name));
}
