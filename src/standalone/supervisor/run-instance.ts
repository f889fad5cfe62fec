import { readFile } from 'node:fs/promises';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { endProcess } from '../../lib/detached-process.ts';
import type { ProcessIdentity } from '../../lib/process-identity.ts';
import { readInstance } from '../instance.ts';
import { layout } from '../layout.ts';
import { enterScope } from '../machine/systemd-scope.ts';
import { removeInstanceGroup } from '../machine/virtual-node.ts';
import type { FindProcess } from './node-units.ts';
import { runSupervisor } from './supervisor.ts';
import { instanceUnits, nodeSpecs, type SupervisorConfig } from './units.ts';

export interface RunInstanceDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** What `up` wrote for the supervisor, or undefined where it never got that far. */
export async function readSupervisorConfig(file: string): Promise<SupervisorConfig | undefined> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as SupervisorConfig);
}

/** The supervisor role: keeps the instance that `configFile` names running. */
export async function runInstance(configFile: string, deps: RunInstanceDeps): Promise<void> {
  const { clock, log, signal } = deps;
  const config = await readSupervisorConfig(configFile);
  if (!config) throw new Error(`${configFile} cannot be read`);
  const instance = await readInstance(config.dataDir);
  if (!instance) throw new Error(`${config.dataDir} holds no instance`);
  await enterScope(instance.config.id, { clock, signal }).catch((error: unknown) => {
    signal.throwIfAborted();
    log.warn(
      { err: error },
      'systemd gave us no scope: the instance may end with the session it was started in',
    );
  });
  const specs = nodeSpecs(instance, config);
  await runSupervisor({
    places: layout(config.dataDir),
    units: (processOf) => instanceUnits(instance, config, clock, processOf),
    release: config.release,
    disks: instance.config.nodes.map((node) => node.disks).join(),
    clock,
    log,
    signal,
    async beforeDown(limit, processOf) {
      // Only here: for all its life before, the supervisor does without gRPC.
      const { stopPods } = await import('./stop-pods.ts');
      for (const { name } of specs) {
        // Without it nothing starts again what is being stopped.
        await endProcess(runningOr(processOf, `${name}-agent`), 5000, limit);
        const init = runningOr(processOf, `${name}-init`);
        if (init) await stopPods(init, log, limit);
      }
    },
    afterDown: (limit) => removeInstanceGroup(instance.config.id, { clock, signal: limit }),
  });
}

/** Pods are stopped in order even where the process that looks after them is just being restarted. */
function runningOr(processOf: FindProcess, name: string): ProcessIdentity | undefined {
  try {
    return processOf(name);
  } catch {
    return undefined;
  }
}
