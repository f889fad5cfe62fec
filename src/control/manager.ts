import { setMaxListeners } from 'node:events';
import type { KubeObject } from '../api/resource.ts';
import { backoffMs } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { Registry } from '../lib/metrics.ts';
import { cacheSet, type CacheSet } from '../kube/cache-set.ts';
import type { KubeClient } from '../kube/client.ts';
import { createControlMetrics } from './control-metrics.ts';
import { createController, type Controller } from './controller.ts';
import { runAsLeader, type LeaderElectionOptions } from './leader-election.ts';
import type { ControllerSpec } from './reconciler.ts';

const stopLimitMs = 15_000;
const taskRetry = { baseMs: 1_000, maxMs: 60_000, jitter: 0.3 };

export interface ManagerDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where its metrics go; none are kept where not given. */
  readonly registry?: Registry;
  /** Without it the manager works at once. */
  readonly leaderElection?: LeaderElectionOptions;
}

/** Work that is no controller, such as a sweep; started again with backoff where it throws. */
export interface Task {
  readonly name: string;
  run(signal: AbortSignal): Promise<void>;
}

/** Runs controllers side by side over shared caches. */
export interface Manager {
  /** One cache for each resource and selection, for reconcilers that read other kinds. */
  readonly caches: CacheSet;
  add<T extends KubeObject>(spec: ControllerSpec<T>): Manager;
  addTask(task: Task): Manager;
  /** Resolves when the signal aborted and all work has ended; rejects where leadership was lost. */
  run(signal: AbortSignal): Promise<void>;
  readonly controllers: readonly Controller[];
}

export function createManager(deps: ManagerDeps): Manager {
  const { client, clock, log } = deps;
  const caches = cacheSet({ client, clock, log });
  const metrics = deps.registry && createControlMetrics(deps.registry);
  const controllers: Controller[] = [];
  const tasks: Task[] = [];

  const runAll = async (signal: AbortSignal) => {
    setMaxListeners(0, signal); // One for each controller, task and call.
    const runs = [
      ...controllers.map((controller) => controller.run(signal)),
      ...tasks.map((task) => keepRunning(task, clock, log, signal)),
    ];
    const all = Promise.all(runs);
    all.catch(() => undefined);
    using limit = stopLimit(signal, log);
    await Promise.race([all, limit.over]);
  };
  const manager: Manager = {
    caches,
    controllers,
    add(spec) {
      const names = new Set(controllers.map((one) => one.name));
      if (names.has(spec.reconciler.name)) throw new Error(`two controllers named ${spec.reconciler.name}`);
      controllers.push(createController(spec, { client, caches, clock, log, metrics }));
      return manager;
    },
    addTask(task) {
      tasks.push(task);
      return manager;
    },
    async run(signal) {
      try {
        if (deps.leaderElection)
          await runAsLeader(deps.leaderElection, { client, clock, log }, signal, runAll);
        else await runAll(signal);
      } catch (error) {
        // Being told to stop is no failure, even where it was while waiting to lead.
        if (!signal.aborted) throw error;
      } finally {
        await caches.close();
      }
    },
  };
  return manager;
}

async function keepRunning(task: Task, clock: Clock, log: Logger, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      await task.run(signal);
      return;
    } catch (error) {
      if (signal.aborted) return;
      log.error({ err: error, task: task.name }, 'task failed');
      await clock.sleep(backoffMs(failures, taskRetry), signal).catch(() => undefined);
    }
  }
}

/** `over` resolves some time after the abort: work that ignores it must not keep the process up. */
function stopLimit(signal: AbortSignal, log: Logger): Disposable & { readonly over: Promise<void> } {
  let timer: NodeJS.Timeout | undefined;
  let end: () => void = () => undefined;
  const over = new Promise<void>((resolve) => {
    end = resolve;
  });
  const onAbort = () => {
    timer = setTimeout(() => {
      log.warn({ stopLimitMs }, 'work did not stop in time');
      end();
    }, stopLimitMs);
    timer.unref();
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  return {
    over,
    [Symbol.dispose]() {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    },
  };
}
