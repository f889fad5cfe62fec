import { createManager, type Manager } from '../../control/manager.ts';
import { createEventRecorder, type EventRecorder } from '../../kube/events.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Registry } from '../../lib/metrics.ts';
import { clusterRoleAggregationController } from './cluster-role-aggregation.ts';
import { daemonSetController } from './daemon-set-controller.ts';
import { deploymentController } from './deployment-controller.ts';
import { disruptionController } from './disruption-controller.ts';
import { endpointsController } from './endpoints-controller.ts';
import { endpointsMirrorController } from './endpoints-mirror.ts';
import type { Environment, Register } from './environment.ts';
import { ephemeralVolumeController } from './ephemeral-volumes.ts';
import { eventExpiry } from './event-expiry.ts';
import { garbageCollector } from './garbage-collector.ts';
import { jobController } from './job-controller.ts';
import { namespaceController } from './namespace-controller.ts';
import { namespaceDefaultsController } from './namespace-defaults.ts';
import { nodeLifecycleController } from './node-lifecycle.ts';
import { podCollector } from './pod-collector.ts';
import { replicaSetController } from './replica-set-controller.ts';
import { schedulerController } from './scheduler.ts';
import { statefulSetController } from './stateful-set-controller.ts';
import { addStorageControllers } from './storage/storage-controllers.ts';
import { taintEvictionController } from './taint-eviction.ts';

/** Every controller of a standalone cluster. To add one is to add its line here. */
export const controllerTable: readonly Register[] = [
  (manager, environment) => manager.add(namespaceController(environment)),
  (manager, environment) => manager.add(namespaceDefaultsController(environment)),
  (manager, environment) => manager.addTask(garbageCollector(environment)),
  (manager, environment) => manager.add(deploymentController(environment)),
  (manager, environment) => manager.add(replicaSetController(environment)),
  (manager, environment) => manager.add(daemonSetController(environment)),
  (manager, environment) => manager.add(statefulSetController(environment)),
  (manager, environment) => manager.add(jobController(environment)),
  (manager, environment) => manager.add(schedulerController(environment)),
  (manager, environment) => manager.add(endpointsController(environment)),
  (manager, environment) => manager.add(endpointsMirrorController(environment)),
  (manager, environment) => manager.add(ephemeralVolumeController(environment)),
  (manager, environment) => manager.add(nodeLifecycleController(environment)),
  (manager, environment) => manager.add(taintEvictionController(environment)),
  (manager, environment) => manager.addTask(podCollector(environment)),
  (manager, environment) => manager.add(disruptionController(environment)),
  (manager, environment) => manager.add(clusterRoleAggregationController(environment)),
  (manager, environment) => manager.addTask(eventExpiry(environment)),
  (manager, { client, events }) =>
    addStorageControllers(manager, {
      client,
      binderEvents: events('persistentvolume-controller'),
      attachEvents: events('attachdetach-controller'),
    }),
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
  for (const register of controllerTable) register(manager, environment);
  await manager.run(signal);
}
