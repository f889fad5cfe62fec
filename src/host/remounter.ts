import { runCommand } from '../lib/run-command.ts';
import { RemountReport, type RemountRequest } from './remount.ts';

/** Puts a filesystem in the place of a dead one, all over the node. */
export type Remounter = (request: RemountRequest, signal: AbortSignal) => Promise<RemountReport>;

const limitMs = 20_000;

/** By a child: it goes through mount namespaces, which no thread of ours should ever find itself in. */
export const childRemounter =
  ({ command, args }: { readonly command: string; readonly args: readonly string[] }): Remounter =>
  async (request, signal) => {
    const input = JSON.stringify(request);
    const { stdout } = await runCommand(command, args, { signal, timeoutMs: limitMs, input });
    return RemountReport.parse(JSON.parse(stdout));
  };
