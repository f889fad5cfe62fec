import type { Manager } from '../../control/manager.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { CacheSet } from '../../kube/cache-set.ts';
import type { EventRecorder } from '../../kube/events.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';

/** What every controller here is built from. */
export interface Environment {
  readonly client: KubeClient;
  readonly caches: CacheSet;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  /** A recorder whose events show `component` as their source. */
  events(component: string): EventRecorder;
  /** PEM of the CA that signed the API server's certificate; empty where it serves plain HTTP. */
  readonly rootCa: string;
}

/** Adds one controller, or a few that belong together, to the manager. */
export type Register = (manager: Manager, environment: Environment) => void;
