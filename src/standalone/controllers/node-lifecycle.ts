import type { Node, Pod } from 'kubernetes-types/core/v1.js';
import { Leases, Nodes, Pods } from '../../api/core.ts';
import type { Stored } from '../../api/resource.ts';
import type { Condition } from '../../control/conditions.ts';
import { done, requeueAfter } from '../../control/outcome.ts';
import type { ControllerSpec } from '../../control/reconciler.ts';
import { writeStatus } from '../../control/status.ts';
import { triggeredBy } from '../../control/trigger.ts';
import { secondTime } from '../../kube/micro-time.ts';
import { patchDifference } from '../../kube/patch.ts';
import type { Environment } from './environment.ts';
import { isNodeReady, conditionOf, wantedTaints } from './node-taints.ts';
import { isReady, isTerminal } from './pod-state.ts';

const leaseNamespace = 'kube-node-lease';
/** How long a node may be silent before it counts as lost. */
const graceMs = 40_000;
/** A node that has never said anything gets longer: it is starting. */
const startupMs = 60_000;
const watchedTypes = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'];

/** Declares nodes that fell silent lost, taints them by their state, and takes their pods out of service. */
export function nodeLifecycleController(environment: Environment): ControllerSpec<Node> {
  const { client, caches, clock } = environment;
  const leases = caches.cache(Leases, { namespace: leaseNamespace });
  const events = environment.events('node-controller');
  const pods = caches.cache(
    Pods,
    {},
    {
      node: (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []),
    },
  );
  // By our own clock since the last news, so that a node's wrong clock does not count.
  const heard = new Map<string, { mark: string; atMs: number; ever: boolean }>();

  const silentMs = (node: Stored<Node>): { sinceMs: number; limitMs: number } => {
    const { name, uid } = node.metadata;
    const lease = leases.get({ namespace: leaseNamespace, name });
    const mark = `${uid} ${lease?.spec?.renewTime ?? ''} ${conditionOf(node, 'Ready')?.lastHeartbeatTime ?? ''}`;
    const ever = lease !== undefined || conditionOf(node, 'Ready') !== undefined;
    const before = heard.get(name);
    if (before?.mark !== mark) heard.set(name, { mark, atMs: clock.now(), ever });
    return {
      sinceMs: heard.get(name)?.atMs ?? clock.now(),
      limitMs: ever ? graceMs : startupMs,
    };
  };

  return {
    resource: Nodes,
    triggers: [
      triggeredBy(Leases, (lease) => [{ name: lease.metadata.name }], { namespace: leaseNamespace }),
    ],
    reconciler: {
      name: 'node-lifecycle',
      async reconcile(object, { signal }) {
        let node: Stored<Node> = object;
        const { sinceMs, limitMs } = silentMs(node);
        const leftMs = sinceMs + limitMs - clock.now();
        if (leftMs <= 0 && conditionOf(node, 'Ready')?.status !== 'Unknown') {
          const lost = await markLost(environment, node, signal);
          if (!lost) return done;
          node = lost;
          events.event(
            node,
            'Normal',
            'NodeNotReady',
            `Node ${node.metadata.name} status is now: NodeNotReady`,
          );
        }
        const taints = wantedTaints(node, clock.now());
        const wanted: Node = { ...node, spec: { ...node.spec, taints } };
        if (taints.length === 0) delete wanted.spec?.taints;
        const tainted = await patchDifference(client, Nodes, node, wanted, { signal, ifUnchanged: true });
        caches.cache(Nodes).remember(tainted);
        if (!isNodeReady(node)) {
          const placed = pods.byIndex('node', node.metadata.name);
          for (const pod of placed)
            if (isReady(pod) && !isTerminal(pod)) await markPodNotReady(environment, pod, signal);
        }
        return leftMs > 0 ? requeueAfter(leftMs) : done;
      },
      async gone(ref) {
        heard.delete(ref.name);
        return done;
      },
    },
  };
}

/** Every condition that the node would have to renew becomes Unknown. */
async function markLost(
  { client, clock, caches }: Environment,
  node: Stored<Node>,
  signal: AbortSignal,
): Promise<Stored<Node> | undefined> {
  const time = secondTime(clock.now());
  const statusOf = (current: Stored<Node>): NonNullable<Node['status']> => {
    const conditions = [...((current.status?.conditions ?? []) as Condition[])];
    for (const type of watchedTypes) {
      const at = conditions.findIndex((one) => one.type === type);
      const before = conditions[at];
      if (before?.status === 'Unknown') continue;
      const unknown: Condition = {
        ...before,
        type,
        status: 'Unknown',
        reason: before ? 'NodeStatusUnknown' : 'NodeStatusNeverUpdated',
        message: before ? 'Kubelet stopped posting node status.' : 'Kubelet never posted node status.',
        lastTransitionTime: time,
      };
      if (at < 0) conditions.push(unknown);
      else conditions[at] = unknown;
    }
    return { ...current.status, conditions: conditions as never };
  };
  const written = await writeStatus(client, Nodes, node, statusOf, { signal });
  if (written) caches.cache(Nodes).remember(written);
  return written;
}

async function markPodNotReady(
  { client, clock, caches }: Environment,
  pod: Stored<Pod>,
  signal: AbortSignal,
): Promise<void> {
  const time = secondTime(clock.now());
  const written = await writeStatus(
    client,
    Pods,
    pod,
    (now) => ({
      ...now.status,
      conditions: (now.status?.conditions ?? []).map((one) =>
        one.type === 'Ready' && one.status === 'True'
          ? { ...one, status: 'False', lastTransitionTime: time }
          : one,
      ),
    }),
    { signal },
  );
  if (written) caches.cache(Pods).remember(written);
}
