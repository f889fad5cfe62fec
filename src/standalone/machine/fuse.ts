import { mkdir, readFile, readdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ProcessIdentity } from '../../lib/process-identity.ts';
import { runCommand } from '../../lib/run-command.ts';

/**
 * Ends the FUSE connections of a node before its processes are killed. A daemon that is the last process of
 * a mount namespace would otherwise unmount, in its own exit, a filesystem whose writes only it can serve:
 * it would wait for itself, and every `sync` on this machine with it.
 */
export async function abortFuse(
  connections: readonly number[],
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  if (connections.length === 0) return;
  const control = join(folder, 'fusectl');
  await mkdir(control, { recursive: true, mode: 0o700 });
  await runCommand('mount', ['-t', 'fusectl', 'fusectl', control], { signal });
  try {
    for (const id of connections)
      await writeFile(join(control, String(id), 'abort'), '1').catch(() => undefined); // Ended by itself.
  } finally {
    await runCommand('umount', ['--', control], { signal });
    await rmdir(control);
  }
}

/** The connections that a node has: those mounted in its namespace, and those of its recorded daemons. */
export async function fuseConnections(init: ProcessIdentity | undefined, folder: string): Promise<number[]> {
  const table = init ? await readFile(`/proc/${init.pid}/mountinfo`, 'utf8').catch(() => '') : '';
  const mounted = table.split('\n').flatMap((line) => {
    const minor = / - fuse(\.\S+)? /.test(line) ? line.split(' ')[2]?.split(':')[1] : undefined;
    return minor === undefined ? [] : [Number(minor)];
  });
  return [
    ...new Set([
      ...mounted,
      ...(await recordedConnections(join(folder, 'kubelet/plugins/holdfast.mounter/qsd'))),
    ]),
  ];
}

interface LedgerEntry {
  readonly daemon?: ProcessIdentity;
  readonly backing?: { readonly major: number; readonly minor: number };
}

/** By the mounter's ledger, for a node whose namespace is gone already. A number counts only while its daemon is still there. */
async function recordedConnections(folder: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    const text = await readFile(join(folder, name, 'ledger.json'), 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    const { daemon, backing } = JSON.parse(text) as LedgerEntry;
    // Pids in the ledger are the node's own, so its start time is what tells the daemon, dying ones included.
    if (backing?.major === 0 && daemon && (await startTicksInUse()).has(daemon.startTicks))
      found.push(backing.minor);
  }
  return found;
}

/** Start times of every qemu-storage-daemon of this machine, zombies among them. */
async function startTicksInUse(): Promise<Set<number>> {
  const ticks = new Set<number>();
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    if (!stat.includes('(qemu-storage-da)')) continue; // The kernel keeps 15 letters of a name.
    ticks.add(Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]));
  }
  return ticks;
}
