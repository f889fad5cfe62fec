import { readFile } from 'node:fs/promises';
import type { Clock } from '../../lib/clock.ts';
import { identifyProcess, isRunning, type ProcessIdentity } from '../../lib/process-identity.ts';

/**
 * The one child of a process that forks into a pid namespace (unshare --fork, nsenter --pid): the process
 * that everything else is about. Waits for it to appear.
 */
export async function onlyChild(
  parent: ProcessIdentity,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<ProcessIdentity> {
  for (;;) {
    const text = await readFile(`/proc/${parent.pid}/task/${parent.pid}/children`, 'utf8').catch(() => '');
    const [pid] = text.trim().split(' ');
    const child = pid ? await identifyProcess(Number(pid)) : undefined;
    if (child) return child;
    if (!(await isRunning(parent))) throw new Error(`process ${parent.pid} ended before it had a child`);
    await clock.sleep(2, signal);
  }
}
