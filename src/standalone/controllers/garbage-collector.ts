import type { OwnerReference } from 'kubernetes-types/meta/v1.js';
import { CustomResourceDefinitions } from '../../api/core.ts';
import { keyOf, type KubeObject, type Stored } from '../../api/resource.ts';
import { removeFinalizer } from '../../control/finalizer.ts';
import type { Task } from '../../control/manager.ts';
import { createWorkQueue, type WorkQueue } from '../../control/work-queue.ts';
import { isConflict, isKubeError, isNotFound } from '../../kube/errors.ts';
import type { Environment } from './environment.ts';
import { kindMonitors, type KindMonitors } from './kind-monitors.ts';
import { ownerGraph, type OwnedNode, type OwnerGraph } from './owner-graph.ts';

const foreground = 'foregroundDeletion';
const orphan = 'orphan';
const workers = 8;
const refreshMs = 300_000;
const settleMs = 250;

/**
 * Deletes what its owners left behind (Background), what goes before its owner does (Foreground), and frees
 * what is to stay (Orphan), over every kind that the API serves.
 */
export function garbageCollector(environment: Environment): Task {
  return {
    name: 'garbage-collector',
    async run(signal) {
      const { clock } = environment;
      const queue = createWorkQueue({
        clock,
        baseDelayMs: 20,
        maxDelayMs: 60_000,
        random: environment.random,
      });
      const graph = ownerGraph();
      const monitors = kindMonitors(environment, graph, {
        changed(node, before) {
          // Most objects neither have owners nor are being deleted, and cost nothing here.
          if (node.owners.length > 0) queue.add(node.uid);
          if (!node.deleting) return;
          queue.add(node.uid);
          if (before?.deleting && before.finalizers.length === node.finalizers.length) return;
          for (const one of graph.dependents(node.uid)) queue.add(one.uid);
        },
        removed(node) {
          queue.forget(node.uid);
          collector.undecided.delete(node.uid);
          for (const one of graph.dependents(node.uid)) queue.add(one.uid);
          // A foreground owner waits for the last of these.
          for (const owner of node.owners) if (graph.get(owner.uid)?.deleting) queue.add(owner.uid);
        },
      });
      const collector: Collector = { environment, graph, monitors, queue, undecided: new Set() };
      signal.addEventListener('abort', () => queue.close(), { once: true });
      const working: Promise<void>[] = [];
      try {
        // Before every kind is listed, an owner whose dependents are not yet known looks free to go.
        await monitors.refresh(signal);
        for (let count = 0; count < workers; count++) working.push(work(collector, signal));
        await followKinds(collector, signal);
      } finally {
        queue.close();
        await Promise.allSettled([monitors.stop(), ...working]);
      }
    },
  };
}

/** Keeps the monitors up with the kinds there are, until the signal aborts. */
async function followKinds(collector: Collector, signal: AbortSignal): Promise<void> {
  const { environment, monitors, undecided, queue } = collector;
  const { clock, caches, log } = environment;
  let changed = true; // The definitions made since the first look are not told again.
  let wake = new AbortController();
  using _held = caches.cache(CustomResourceDefinitions).onChange(() => {
    changed = true;
    wake.abort(new Error('the kinds changed'));
  });
  while (!signal.aborted) {
    if (!changed) {
      wake = new AbortController();
      await clock.sleep(refreshMs, AbortSignal.any([signal, wake.signal])).catch(() => undefined);
    }
    // A definition is served a moment after it is written.
    await clock.sleep(settleMs, signal);
    changed = false;
    await monitors.refresh(signal).catch((error: unknown) => log.warn({ err: error }, 'kinds not read'));
    for (const uid of undecided) queue.add(uid);
    undecided.clear();
  }
}

interface Collector {
  readonly environment: Environment;
  readonly graph: OwnerGraph;
  readonly monitors: KindMonitors;
  readonly queue: WorkQueue;
  /** Objects with an owner of a kind that was not served: judged again when the kinds change. */
  readonly undecided: Set<string>;
}

async function work(collector: Collector, signal: AbortSignal): Promise<void> {
  const { queue, graph, environment } = collector;
  for (let uid = await queue.take(); uid !== undefined; uid = await queue.take()) {
    const node = graph.get(uid);
    try {
      if (node) await collect(collector, node, signal);
      queue.forget(uid);
    } catch (error) {
      if (!signal.aborted) {
        queue.addAfterFailure(uid);
        const level = isConflict(error) ? 'debug' : 'warn';
        environment.log[level]({ err: error, object: node && keyOf(node.ref) }, 'collecting failed');
      }
    } finally {
      queue.release(uid);
    }
  }
}

async function collect(collector: Collector, node: OwnedNode, signal: AbortSignal): Promise<void> {
  if (node.deleting) {
    if (node.finalizers.includes(orphan)) return await freeDependents(collector, node, signal);
    if (node.finalizers.includes(foreground)) return await finishForeground(collector, node, signal);
    return;
  }
  if (node.owners.length > 0) await judge(collector, node, signal);
}

interface Owners {
  readonly solid: readonly OwnerReference[];
  readonly absent: readonly OwnerReference[];
  /** Being deleted in the foreground, and waiting for this object. */
  readonly waiting: readonly OwnerReference[];
}

/** Deletes an object whose owners are all gone, or wait for it to go. */
async function judge(collector: Collector, seen: OwnedNode, signal: AbortSignal): Promise<void> {
  const { client } = collector.environment;
  // The graph follows every kind by watch, and an owner that goes brings its dependents back here: as long
  // as it knows all owners to stay, which is nearly always, there is nothing to ask the API for.
  const { graph } = collector;
  if (seen.owners.every((owner) => knownState(graph, seen.ref.namespace, owner) === 'solid')) return;
  const live = await client.get(seen.resource, seen.ref, { signal });
  if (live?.metadata.uid !== seen.uid || live.metadata.deletionTimestamp !== undefined) return;
  const owners = await sortOwners(collector, live, signal);
  if (owners.solid.length > 0) {
    const leaving = new Set([...owners.absent, ...owners.waiting].map((one) => one.uid));
    if (leaving.size > 0) await dropOwners(collector, seen, live, leaving, signal);
    return;
  }
  if (owners.absent.length + owners.waiting.length === 0) return;
  const finalizers = live.metadata.finalizers ?? [];
  const hasDependents = collector.graph.dependents(seen.uid).length > 0;
  // An owner that waits wants to see the whole tree below it gone, so its wish is handed down.
  const handDown = owners.waiting.length > 0 && hasDependents;
  const propagationPolicy = finalizers.includes(orphan)
    ? 'Orphan'
    : handDown || finalizers.includes(foreground)
      ? 'Foreground'
      : 'Background';
  try {
    const { uid, resourceVersion } = live.metadata;
    await client.delete(seen.resource, seen.ref, { signal, uid, resourceVersion, propagationPolicy });
  } catch (error) {
    if (!isConflict(error)) throw error;
    collector.queue.addAfterFailure(seen.uid); // It changed meanwhile, perhaps its owners: judge anew.
  }
}

async function sortOwners(
  collector: Collector,
  object: Stored<KubeObject>,
  signal: AbortSignal,
): Promise<Owners> {
  const solid: OwnerReference[] = [];
  const absent: OwnerReference[] = [];
  const waiting: OwnerReference[] = [];
  for (const owner of object.metadata.ownerReferences ?? []) {
    const state = await ownerState(collector, object, owner, signal);
    (state === 'solid' ? solid : state === 'waiting' ? waiting : absent).push(owner);
  }
  return { solid, absent, waiting };
}

/** What the graph says of an owner of an object in `namespace`; undefined where it does not know it there. */
function knownState(
  graph: OwnerGraph,
  namespace: string | undefined,
  owner: OwnerReference,
): 'solid' | 'waiting' | undefined {
  const known = graph.get(owner.uid);
  // An owner in another namespace counts as absent: a name there says nothing about this object.
  if (!known || (known.resource.namespaced && known.ref.namespace !== namespace)) return undefined;
  return known.deleting && known.finalizers.includes(foreground) ? 'waiting' : 'solid';
}

async function ownerState(
  { graph, monitors, environment, undecided }: Collector,
  object: Stored<KubeObject>,
  owner: OwnerReference,
  signal: AbortSignal,
): Promise<'solid' | 'absent' | 'waiting'> {
  const known = knownState(graph, object.metadata.namespace, owner);
  if (known) return known;
  const resource = monitors.kindOf(owner.apiVersion, owner.kind);
  // A kind that is not served (any more) cannot be asked: nothing is deleted on a guess.
  if (!resource) {
    undecided.add(object.metadata.uid);
    return 'solid';
  }
  const namespace = resource.namespaced ? object.metadata.namespace : undefined;
  if (resource.namespaced && namespace === undefined) return 'absent';
  const live = await environment.client.get(resource, { namespace, name: owner.name }, { signal });
  if (live?.metadata.uid !== owner.uid) return 'absent';
  const waits = live.metadata.deletionTimestamp && live.metadata.finalizers?.includes(foreground);
  return waits ? 'waiting' : 'solid';
}

async function dropOwners(
  { environment }: Collector,
  node: OwnedNode,
  live: Stored<KubeObject>,
  uids: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<void> {
  const ownerReferences = (live.metadata.ownerReferences ?? []).filter((one) => !uids.has(one.uid));
  const { uid, resourceVersion } = live.metadata;
  const body = { metadata: { uid, resourceVersion, ownerReferences } };
  await environment.client.patch(node.resource, node.ref, { type: 'merge', body }, { signal });
}

/** Takes this owner out of all its dependents, then lets it go. */
async function freeDependents(collector: Collector, node: OwnedNode, signal: AbortSignal): Promise<void> {
  const { client } = collector.environment;
  for (const dependent of collector.graph.dependents(node.uid)) {
    const live = await client.get(dependent.resource, dependent.ref, { signal });
    if (live?.metadata.uid !== dependent.uid) continue;
    if (!live.metadata.ownerReferences?.some((one) => one.uid === node.uid)) continue;
    await dropOwners(collector, dependent, live, new Set([node.uid]), signal);
  }
  await releaseOwner(collector, node, orphan, signal);
}

/** Lets a foreground owner go once no dependent that blocks it is left. */
async function finishForeground(collector: Collector, node: OwnedNode, signal: AbortSignal): Promise<void> {
  const blocking = collector.graph
    .dependents(node.uid)
    .filter((one) => one.owners.some((owner) => owner.uid === node.uid && owner.blockOwnerDeletion));
  if (blocking.length === 0) {
    await releaseOwner(collector, node, foreground, signal);
    return;
  }
  for (const one of collector.graph.dependents(node.uid)) if (!one.deleting) collector.queue.add(one.uid);
}

async function releaseOwner(
  { environment }: Collector,
  node: OwnedNode,
  finalizer: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    const live = await environment.client.get(node.resource, node.ref, { signal });
    if (live?.metadata.uid !== node.uid) return;
    await removeFinalizer(environment.client, node.resource, live, finalizer, { signal });
  } catch (error) {
    if (!isNotFound(error) && !isKubeError(error, 'Gone')) throw error;
  }
}
