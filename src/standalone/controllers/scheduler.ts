import type { Node, Pod } from 'kubernetes-types/core/v1.js';
import { Nodes, PersistentVolumeClaims, PersistentVolumes, Pods, StorageClasses } from '../../api/core.ts';
import { keyOf, refOf, type Stored } from '../../api/resource.ts';
import { setCondition } from '../../control/conditions.ts';
import { done, requeueAfter, type Outcome } from '../../control/outcome.ts';
import type { ControllerSpec } from '../../control/reconciler.ts';
import { writeStatus } from '../../control/status.ts';
import { triggeredBy } from '../../control/trigger.ts';
import { isConflict, isNotFound } from '../../kube/errors.ts';
import type { RunningCache } from '../../kube/watch-cache.ts';
import { backoffMs } from '../../lib/backoff.ts';
import type { Environment } from './environment.ts';
import { isTerminal } from './pod-state.ts';
import { affinityReasons, reasonAgainst, type NodeView } from './scheduler-filters.ts';
import { scoreOf } from './scheduler-scores.ts';
import { spreadReasons } from './scheduler-topology.ts';
import { chooseVolumes, volumeReasonAgainst, volumesOfPod, type PodVolumes } from './scheduler-volumes.ts';

const component = 'default-scheduler';
const retry = { baseMs: 50, maxMs: 10_000 };
const assumedMs = 60_000;

/** Gives every pod without a node the node that suits it best, and says why where none does. */
export function schedulerController(environment: Environment): ControllerSpec<Pod> {
  const { client, caches, clock } = environment;
  const events = environment.events(component);
  const pods = caches.cache(
    Pods,
    {},
    {
      unscheduled: (pod) => (pod.spec?.nodeName || isTerminal(pod) ? [] : ['yes']),
      node: (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []),
    },
  );
  const assumed = assumedPods(pods, () => clock.now());
  const refused = new Map<string, { attempts: number; atMs: number }>();
  const waiting = () => pods.byIndex('unscheduled', 'yes').map(refOf);

  return {
    resource: Pods,
    concurrency: 8,
    triggers: [
      triggeredBy(Nodes, waiting),
      triggeredBy(PersistentVolumeClaims, waiting),
      triggeredBy(PersistentVolumes, waiting),
      triggeredBy(StorageClasses, waiting),
      // A placed pod that changes may have made room, or be the company that another waits for.
      triggeredBy(Pods, (pod) => (pod.spec?.nodeName ? waiting() : [])),
    ],
    reconciler: {
      name: 'scheduler',
      async reconcile(pod, { signal }) {
        const key = pod.metadata.uid;
        if (!isOurs(pod) || assumed.has(key)) {
          refused.delete(key);
          return done;
        }
        const before = refused.get(key);
        const restMs = before && before.atMs + backoffMs(before.attempts, retry) - clock.now();
        if (restMs !== undefined && restMs > 0) return requeueAfter(restMs);

        // From here to `assume` nothing is awaited: two pods never take the last place of a node.
        const verdict = decide(environment, assumed, pod);
        if (verdict.kind === 'none') {
          const attempts = (before?.attempts ?? -1) + 1;
          refused.set(key, { attempts, atMs: clock.now() });
          events.event(pod, 'Warning', 'FailedScheduling', verdict.message);
          return await markUnschedulable(environment, pod, verdict.message, signal);
        }
        if (verdict.volumes.waiting.length > 0) {
          // The pod is bound once its claims are; their change brings it back here.
          await chooseVolumes(verdict.volumes.waiting, verdict.node, caches, client, signal);
          return requeueAfter(10_000);
        }
        refused.delete(key);
        assumed.assume(pod, verdict.node.metadata.name);
        try {
          await bind(environment, pod, verdict.node, signal);
        } catch (error) {
          assumed.forget(key);
          // Gone, or placed by somebody else.
          if (isNotFound(error) || isConflict(error)) return done;
          throw error;
        }
        const message = `Successfully assigned ${keyOf(refOf(pod))} to ${verdict.node.metadata.name}`;
        events.event(pod, 'Normal', 'Scheduled', message);
        return done;
      },
      async gone() {
        const uids = new Set(pods.byIndex('unscheduled', 'yes').map((pod) => pod.metadata.uid));
        for (const uid of refused.keys()) if (!uids.has(uid)) refused.delete(uid);
        return done;
      },
    },
  };
}

const isOurs = (pod: Stored<Pod>): boolean =>
  !pod.spec?.nodeName &&
  !isTerminal(pod) &&
  pod.metadata.deletionTimestamp === undefined &&
  (pod.spec?.schedulingGates ?? []).length === 0 &&
  (pod.spec?.schedulerName ?? component) === component;

interface AssumedPods {
  has(uid: string): boolean;
  assume(pod: Stored<Pod>, node: string): void;
  forget(uid: string): void;
  /** Those assumed on the node that the cache does not show there yet. */
  on(node: string): Stored<Pod>[];
}

/** Pods that we have bound and that the watch has not shown placed yet. */
function assumedPods(cache: RunningCache<Pod>, now: () => number): AssumedPods {
  const assumed = new Map<string, { pod: Stored<Pod>; node: string; atMs: number }>();
  const sweep = () => {
    for (const [uid, { pod, atMs }] of assumed) {
      const current = cache.get(refOf(pod));
      const seen = current?.metadata.uid !== uid || Boolean(current.spec?.nodeName);
      if (seen || now() - atMs > assumedMs) assumed.delete(uid);
    }
  };
  return {
    has(uid) {
      sweep();
      return assumed.has(uid);
    },
    assume: (pod, node) => void assumed.set(pod.metadata.uid, { pod, node, atMs: now() }),
    forget: (uid) => void assumed.delete(uid),
    on: (node) => [...assumed.values()].filter((one) => one.node === node).map((one) => one.pod),
  };
}

type Verdict =
  | { readonly kind: 'none'; readonly message: string }
  | {
      readonly kind: 'node';
      readonly node: Stored<Node>;
      readonly volumes: Extract<PodVolumes, { kind: 'claims' }>;
    };

function decide({ caches, random }: Environment, assumed: AssumedPods, pod: Stored<Pod>): Verdict {
  const pods = caches.cache(Pods);
  const views: NodeView[] = caches
    .cache(Nodes)
    .list()
    .filter((node) => node.metadata.deletionTimestamp === undefined)
    .map((node) => {
      const { name } = node.metadata;
      const placed = pods.byIndex('node', name).filter((one) => !isTerminal(one));
      return { node, pods: [...placed, ...assumed.on(name)] };
    });
  if (views.length === 0) return { kind: 'none', message: 'no nodes available to schedule pods' };
  const total = views.length;
  const volumes = volumesOfPod(pod, caches);
  if (volumes.kind === 'impossible') {
    return { kind: 'none', message: `0/${total} nodes are available: ${volumes.message}.` };
  }
  const byAffinity = affinityReasons(pod, views);
  const bySpread = spreadReasons(pod, views);
  const reasons = new Map<string, number>();
  const fitting = views.filter((view) => {
    const reason =
      reasonAgainst(pod, view) ??
      byAffinity.get(view.node.metadata.name) ??
      bySpread.get(view.node.metadata.name) ??
      volumeReasonAgainst(volumes, view.node, caches);
    if (reason !== undefined) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    return reason === undefined;
  });
  if (fitting.length === 0) {
    const parts = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
    return { kind: 'none', message: `0/${total} nodes are available: ${parts.join(', ')}.` };
  }
  const scored = fitting.map((view) => ({ view, score: scoreOf(pod, view, views), tie: random() }));
  const [best] = scored.sort((a, b) => b.score - a.score || b.tie - a.tie);
  return { kind: 'node', node: (best as (typeof scored)[number]).view.node, volumes };
}

async function bind(
  { client }: Environment,
  pod: Stored<Pod>,
  node: Stored<Node>,
  signal: AbortSignal,
): Promise<void> {
  const { namespace, name, uid } = pod.metadata;
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace ?? '')}/pods/${encodeURIComponent(name)}/binding`;
  const body = {
    apiVersion: 'v1',
    kind: 'Binding',
    metadata: { name, namespace, uid },
    target: { apiVersion: 'v1', kind: 'Node', name: node.metadata.name },
  };
  await client.request({ method: 'POST', path, body }, { signal });
}

async function markUnschedulable(
  { client, caches, clock }: Environment,
  pod: Stored<Pod>,
  message: string,
  signal: AbortSignal,
): Promise<Outcome> {
  const update = { type: 'PodScheduled', status: false, reason: 'Unschedulable', message } as const;
  const written = await writeStatus(
    client,
    Pods,
    pod,
    (current) => ({
      ...current.status,
      conditions: setCondition(current.status?.conditions, update, clock.now()),
    }),
    { signal },
  );
  if (written) caches.cache(Pods).remember(written);
  // Room may appear in ways that no trigger shows, such as time.
  return requeueAfter(300_000);
}
