import type { Service } from 'kubernetes-types/core/v1.js';
import type { EndpointSlice } from 'kubernetes-types/discovery/v1.js';
import type { Cache } from '../../kube/cache.ts';
import { backoffMs } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { runCommand } from '../../lib/run-command.ts';
import { serviceRules } from './service-rules.ts';
import { wakeableSleep } from './wakeable-sleep.ts';

export interface ServiceProxyDeps {
  readonly services: Cache<Service>;
  readonly slices: Cache<EndpointSlice>;
  readonly serviceCidr: string;
  readonly podCidr: string;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Applies a whole table; iptables-restore in the node's network namespace where not said. */
  apply?(rules: string, signal: AbortSignal): Promise<void>;
}

// Changes come in bursts (a Deployment's endpoints): they are waited for a moment and written together.
const debounceMs = 50;
const minGapMs = 500;
const restoreMs = 20_000;
const retry = { baseMs: 500, maxMs: 30_000 };
// Nobody else writes these tables; a look now and then costs nothing, for equal text is not written.
const idleMs = 600_000;

/** Keeps the node's service rules equal to the API's Services and EndpointSlices. */
export async function runServiceProxy(deps: ServiceProxyDeps, signal: AbortSignal): Promise<void> {
  const { services, slices, clock, log } = deps;
  const apply = deps.apply ?? restoreTables;
  using pause = wakeableSleep(clock, signal);
  const handlers = [services.onChange(() => pause.wake()), slices.onChange(() => pause.wake())];
  const rest = (ms: number) => clock.sleep(ms, signal).catch(() => undefined);
  try {
    await Promise.all([services.synced(signal), slices.synced(signal)]);
    let applied: string | undefined;
    let failures = 0;
    while (!signal.aborted) {
      pause.arm();
      const rules = serviceRules({ ...deps, services: services.list(), slices: slices.list() });
      if (rules !== applied) {
        try {
          await apply(rules, signal);
          applied = rules;
          failures = 0;
        } catch (err) {
          if (signal.aborted) return;
          log.warn({ err }, 'service rules could not be written');
          await rest(backoffMs(failures++, retry));
          continue;
        }
        await rest(minGapMs);
      }
      await pause.sleep(idleMs);
      await rest(debounceMs);
    }
  } finally {
    for (const handler of handlers) handler[Symbol.dispose]();
  }
}

/** One transaction for each table: a packet meets the old rules or the new ones. */
async function restoreTables(rules: string, signal: AbortSignal): Promise<void> {
  await runCommand('iptables-nft-restore', ['--wait', '5'], { signal, timeoutMs: restoreMs, input: rules });
}
