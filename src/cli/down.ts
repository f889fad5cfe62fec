import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { takeLockFile } from '../lib/lock-file.ts';
import { dropClaim } from '../standalone/claims.ts';
import { checkDataDir, purgeDataDir } from '../standalone/instance.ts';
import { layout, type Layout } from '../standalone/layout.ts';
import type { SupervisorStatus } from '../standalone/supervisor/control-socket.ts';
import { releaseFiles } from '../standalone/supervisor/server-unit.ts';
import { untilScopeGone } from '../standalone/machine/systemd-scope.ts';
import {
  findSupervisor,
  startSupervisor,
  stopSupervisor,
} from '../standalone/supervisor/start-supervisor.ts';
import { readSupervisorConfig } from '../standalone/supervisor/run-instance.ts';
import { CliError, command, type CliContext } from './context.ts';
import { findInstance } from './find-instance.ts';
import { createProgress } from './progress.ts';
import { requireRoot } from './up.ts';
import { pathExists } from '../lib/path-exists.ts';

const stopTimeoutMs = 150_000;

/** `holdfast down [--purge]`: ends every process; the data goes only with --purge. */
export async function down(context: CliContext, options: { readonly purge?: boolean }): Promise<void> {
  requireRoot();
  const { dataDir, clock, signal } = context;
  await checkDataDir(dataDir);
  const progress = createProgress(context.screen, clock);
  const instance = await findInstance(dataDir);
  if (instance) {
    const places = layout(dataDir);
    await progress.step('Stopping', async (step) => {
      const onWait = (pid: number) => step.detail(`waiting for process ${pid}, which is at work here`);
      await using _held = await takeLockFile(places.upLock, { clock, signal, onWait });
      const stopped = await stopEverything(places, context, (status) => step.detail(unitsLeft(status)));
      await untilScopeGone(instance.config.id, { clock, signal });
      const data = options.purge ? '' : '; data kept';
      step.detail(stopped ? `everything ended${data}` : 'nothing was running');
    });
  }
  if (!instance && !(await pathExists(dataDir))) {
    context.screen.write(`no instance in ${dataDir}, nothing to ${options.purge ? 'remove' : 'end'}\n`);
    return;
  }
  if (!options.purge) return;
  await progress.step(`Removing ${dataDir}`, () => purgeDataDir(dataDir));
  if (instance) await dropClaim(context.claimsDir, instance.config.id);
}

/** Ends an instance through its supervisor; false where nothing ran. What is left after it is an error. */
export async function stopEverything(
  places: Layout,
  { clock, signal, dataDir }: Pick<CliContext, 'clock' | 'signal' | 'dataDir'>,
  onStatus: (status: SupervisorStatus) => void,
): Promise<boolean> {
  const wait = { clock, signal, timeoutMs: stopTimeoutMs };
  if (!(await findSupervisor(places))) {
    // A supervisor that was killed left its processes; another one takes them over to end them in order.
    const records = await readdir(places.records).catch(() => []);
    const config = records.length > 0 ? await readSupervisorConfig(places.supervisorConfig) : undefined;
    if (!config) return false;
    await startSupervisor(
      places,
      { ...releaseFiles(places.releases, config.release), logFile: join(places.logs, 'supervisor.log') },
      wait,
    );
  }
  const stopped = await stopSupervisor(places, 'down', { ...wait, onStatus });
  const left = (await readdir(places.records).catch(() => [])).map((name) => name.replace(/\.json$/, ''));
  if (left.length > 0) {
    throw new CliError(
      `not everything could be ended (${left.join(', ')}); ${command('logs', dataDir)} supervisor says why, ${command('down', dataDir)} tries again`,
    );
  }
  return stopped;
}

const unitsLeft = (status: SupervisorStatus) =>
  status.units
    .filter((unit) => unit.phase !== 'stopped')
    .map((unit) => unit.name)
    .join(', ');
