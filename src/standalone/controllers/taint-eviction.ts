import type { Node, Pod, Taint } from 'kubernetes-types/core/v1.js';
import { Nodes, Pods } from '../../api/core.ts';
import { keyOf, refOf, type Stored } from '../../api/resource.ts';
import { done, requeueAfter } from '../../control/outcome.ts';
import type { ControllerSpec } from '../../control/reconciler.ts';
import { triggeredBy } from '../../control/trigger.ts';
import { isConflict } from '../../kube/errors.ts';
import { parseTime } from '../../kube/micro-time.ts';
import type { Environment } from './environment.ts';
import { isNodeReady, notReady, unreachable } from './node-taints.ts';
import { isActive } from './pod-state.ts';
import { tolerates } from './tolerations.ts';

/** What admission gives pods that say nothing about lost nodes. */
const defaultSeconds = 300;
const lostKeys = new Set([notReady, unreachable]);

/** Deletes pods from nodes whose NoExecute taints they do not tolerate, or no longer. */
export function taintEvictionController(environment: Environment): ControllerSpec<Pod> {
  const { client, caches, clock } = environment;
  const nodes = caches.cache(Nodes);
  const pods = caches.cache(
    Pods,
    {},
    {
      node: (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []),
    },
  );
  const events = environment.events('taint-eviction-controller');
  return {
    resource: Pods,
    triggers: [
      triggeredBy(Nodes, (node) =>
        hasNoExecute(node) ? pods.byIndex('node', node.metadata.name).map(refOf) : [],
      ),
    ],
    reconciler: {
      name: 'taint-eviction',
      async reconcile(pod, { signal, log }) {
        const node = pod.spec?.nodeName ? nodes.get({ name: pod.spec.nodeName }) : undefined;
        if (!node || !hasNoExecute(node) || !isActive(pod)) return done;
        const dueMs = evictionDueMs(pod, node, clock.now());
        if (dueMs === undefined) return done;
        const leftMs = dueMs - clock.now();
        if (leftMs > 0) return requeueAfter(leftMs);
        // Where no node is ready there is nowhere better, and the fault is likely not the nodes': a
        // machine that slept for an hour must not find its pods deleted.
        const lost = (node.spec?.taints ?? []).some((taint) => lostKeys.has(taint.key));
        if (lost && !nodes.list().some(isNodeReady)) return requeueAfter(10_000);
        log.info({ node: node.metadata.name }, 'evicting pod by taint');
        events.event(pod, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${keyOf(refOf(pod))}`);
        try {
          await client.delete(Pods, refOf(pod), { signal, uid: pod.metadata.uid });
        } catch (error) {
          if (!isConflict(error)) throw error;
        }
        return done;
      },
    },
  };
}

const hasNoExecute = (node: Node): boolean =>
  (node.spec?.taints ?? []).some((taint) => taint.effect === 'NoExecute');

/** When the pod has to go, in milliseconds since the epoch; undefined where it may stay. */
export function evictionDueMs(pod: Stored<Pod>, node: Node, nowMs: number): number | undefined {
  const dues = (node.spec?.taints ?? [])
    .filter((taint) => taint.effect === 'NoExecute')
    .map((taint) => dueBy(pod, taint, nowMs));
  const least = Math.min(...dues);
  return Number.isFinite(least) ? least : undefined;
}

function dueBy(pod: Stored<Pod>, taint: Taint, nowMs: number): number {
  const sinceMs = parseTime(taint.timeAdded) ?? nowMs;
  const taking = (pod.spec?.tolerations ?? []).filter((one) => tolerates(one, taint));
  if (taking.length === 0) return lostKeys.has(taint.key) ? sinceMs + defaultSeconds * 1000 : nowMs;
  const seconds = taking.map((one) => one.tolerationSeconds).filter((one) => one !== undefined);
  // As with Kubernetes: the shortest of those that have a limit.
  return seconds.length === 0 ? Infinity : sinceMs + Math.max(0, Math.min(...seconds)) * 1000;
}
