import type { Pod } from 'kubernetes-types/core/v1.js';
import { Nodes, Pods } from '../../api/core.ts';
import { refOf, type Stored } from '../../api/resource.ts';
import type { Task } from '../../control/manager.ts';
import { writeStatus } from '../../control/status.ts';
import { isConflict } from '../../kube/errors.ts';
import { parseTime } from '../../kube/micro-time.ts';
import type { Environment } from './environment.ts';
import { isTerminal, isTerminating } from './pod-state.ts';

const everyMs = 20_000;
/** A node that is not there for this long is gone and not just new to us. */
const quarantineMs = 40_000;
const maxTerminated = 12_500;

/** Removes pods that no node will ever finish: of nodes that are gone, never placed, or long over. */
export function podCollector(environment: Environment): Task {
  const { client, caches, clock, log } = environment;
  const pods = caches.cache(Pods);
  const nodes = caches.cache(Nodes);
  const missingSince = new Map<string, number>();

  const remove = async (pod: Stored<Pod>, why: string, signal: AbortSignal) => {
    log.info({ pod: pod.metadata.name, namespace: pod.metadata.namespace, why }, 'collecting pod');
    try {
      await client.delete(Pods, refOf(pod), { signal, uid: pod.metadata.uid, gracePeriodSeconds: 0 });
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  };
  const nodeIsGone = async (name: string, signal: AbortSignal): Promise<boolean> => {
    if (nodes.get({ name })) {
      missingSince.delete(name);
      return false;
    }
    const sinceMs = missingSince.get(name) ?? clock.now();
    missingSince.set(name, sinceMs);
    if (clock.now() - sinceMs < quarantineMs) return false;
    // The cache is not asked for a deletion that cannot be undone.
    return (await client.get(Nodes, { name }, { signal })) === undefined;
  };
  const sweep = async (signal: AbortSignal) => {
    const all = pods.list();
    const named = new Set(all.map((pod) => pod.spec?.nodeName).filter((name) => name !== undefined));
    for (const name of missingSince.keys()) if (!named.has(name)) missingSince.delete(name);
    for (const name of named) {
      if (!(await nodeIsGone(name, signal))) continue;
      for (const pod of all.filter((one) => one.spec?.nodeName === name)) {
        if (!isTerminal(pod)) await markFailed(environment, pod, signal);
        await remove(pod, 'its node is gone', signal);
      }
    }
    for (const pod of all) {
      if (!isTerminating(pod)) continue;
      const node = pod.spec?.nodeName;
      if (!node) await remove(pod, 'it was never placed', signal);
      else if (nodes.get({ name: node })?.spec?.taints?.some((taint) => taint.key === outOfService)) {
        await remove(pod, 'its node is out of service', signal);
      }
    }
    const over = all.filter((pod) => isTerminal(pod) && !isTerminating(pod));
    const age = (pod: Stored<Pod>) => parseTime(pod.metadata.creationTimestamp) ?? 0;
    const surplus = over.sort((a, b) => age(a) - age(b)).slice(0, Math.max(0, over.length - maxTerminated));
    for (const pod of surplus) await remove(pod, 'too many pods are over', signal);
  };
  return {
    name: 'pod-collector',
    async run(signal) {
      await Promise.all([pods.synced(signal), nodes.synced(signal)]);
      for (;;) {
        await sweep(signal);
        await clock.sleep(everyMs, signal);
      }
    },
  };
}

const outOfService = 'node.kubernetes.io/out-of-service';

/** Says that the pod did not end well, so that a Job or an operator counts it. */
async function markFailed({ client }: Environment, pod: Stored<Pod>, signal: AbortSignal): Promise<void> {
  await writeStatus(
    client,
    Pods,
    pod,
    (current) => ({
      ...current.status,
      phase: 'Failed',
      reason: 'NodeLost',
      message: 'PodGC: node no longer exists',
    }),
    { signal },
  );
}
