import { createManager, type Manager } from '../../control/manager.ts';
import { createEventRecorder, type EventRecorder } from '../../kube/events.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Registry } from '../../lib/metrics.ts';
import { deploymentController } from './deployment-controller.ts';
import type { Environment, Register } from './environment.ts';
import { replicaSetController } from './replica-set-controller.ts';

/** Every controller of a standalone cluster. To add one is to add its line here. */
const table: readonly Register[] = [
  (manager, environment) => manager.add(deploymentController(environment)),
  (manager, environment) => manager.add(replicaSetController(environment)),
];

export interface ControllersOptions {
  /** Of an identity that may read and write every kind. */
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** PEM of the API server's CA, for `kube-root-ca.crt` in every namespace. */
  readonly rootCa?: string;
  readonly registry?: Registry;
  readonly random?: () => number;
}

/** Runs the controllers until the signal aborts; resolves when all of them have stopped. */
export async function runControllers(options: ControllersOptions): Promise<void> {
  const { client, clock, log, signal } = options;
  const manager: Manager = createManager({
    client,
    clock,
    log,
    ...(options.registry ? { registry: options.registry } : {}),
  });
  const recorders = new Map<string, EventRecorder>();
  const environment: Environment = {
    client,
    clock,
    log,
    caches: manager.caches,
    random: options.random ?? Math.random,
    rootCa: options.rootCa ?? '',
    events(component) {
      const known = recorders.get(component);
      if (known) return known;
      const recorder = createEventRecorder({ client, component, clock, log, signal });
      recorders.set(component, recorder);
      return recorder;
    },
  };
  for (const register of table) register(manager, environment);
  await manager.run(signal);
}
