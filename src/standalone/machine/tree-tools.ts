import { join } from 'node:path';
import { runCommand, type CommandResult } from '../../lib/run-command.ts';

/** A program to start: the file, and the arguments that come before its own. */
export interface Tool {
  readonly file: string;
  readonly before: readonly string[];
}

/** A program of the tree, run on the host with the tree's own loader and libraries. */
export function treeTool(tree: string, path: string): Tool {
  const libraries = ['usr/lib/x86_64-linux-gnu', 'usr/lib', 'usr/lib/x86_64-linux-gnu/ceph'].map((name) =>
    join(tree, name),
  );
  return {
    file: join(tree, 'usr/lib64/ld-linux-x86-64.so.2'),
    before: ['--library-path', libraries.join(':'), join(tree, path)],
  };
}

export interface RunOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs?: number;
}

/** Runs `ip` of the tree, in the network namespace of `pid` where one is given. */
export async function runIp(
  tree: string,
  args: readonly string[],
  options: RunOptions & { readonly inNetOf?: number },
): Promise<CommandResult> {
  const ip = treeTool(tree, 'usr/bin/ip');
  const command = [...ip.before, ...args];
  if (options.inNetOf === undefined) return await runCommand(ip.file, command, options);
  return await runCommand(
    'nsenter',
    ['--target', String(options.inNetOf), '--net', '--', ip.file, ...command],
    options,
  );
}

/** Runs a script with the tree's Python, for what no tool of Debian 12 does. */
export async function runTreePython(
  tree: string,
  script: string,
  args: readonly string[],
  options: RunOptions,
): Promise<CommandResult> {
  const python = treeTool(tree, 'usr/bin/python3');
  const env = { PYTHONHOME: join(tree, 'usr'), PYTHONDONTWRITEBYTECODE: '1' };
  return await runCommand(python.file, [...python.before, '-S', '-c', script, ...args], { ...options, env });
}
