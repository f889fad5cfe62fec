import type { Resource } from '../../api/resource.ts';
import { watchResource } from '../../kube/watcher.ts';
import { canAll, discover, type DiscoveredResource } from './discovery.ts';
import type { Environment } from './environment.ts';
import { graphKind, nodeOf, type OwnedNode, type OwnerGraph } from './owner-graph.ts';

/** Nothing owns these, they own nothing, and there are many. */
const unwatched = new Set(['/events', 'events.k8s.io/events', 'coordination.k8s.io/leases']);

/** A kind that cannot be listed must not keep the others from being collected. */
const listTimeoutMs = 30_000;

export interface MonitorHandlers {
  /** The object is new or changed; `before` is what was known of it. */
  changed(node: OwnedNode, before: OwnedNode | undefined): void;
  removed(node: OwnedNode): void;
}

/** Keeps one watch for each kind that can be deleted, and the graph up to date from all of them. */
export interface KindMonitors {
  /** Looks at discovery again: starts what is new, stops what is gone; resolves when all is listed once. */
  refresh(signal: AbortSignal): Promise<void>;
  /** The kind that an owner reference names, where the API serves it. */
  kindOf(apiVersion: string, kind: string): Resource | undefined;
  stop(): Promise<void>;
}

export function kindMonitors(
  environment: Environment,
  graph: OwnerGraph,
  handlers: MonitorHandlers,
): KindMonitors {
  const { client, clock, log } = environment;
  const running = new Map<string, { readonly stop: AbortController; readonly ended: Promise<void> }>();
  let kinds: readonly DiscoveredResource[] = [];

  /** Resolves when the kind's first list is in. */
  const start = (resource: DiscoveredResource): Promise<void> =>
    new Promise((onListed) => {
      const stop = new AbortController();
      const ended = followKind(environment, graph, handlers, resource, stop.signal, onListed);
      ended.catch((error: unknown) => log.error({ err: error, kind: resource.kind }, 'kind monitor ended'));
      running.set(graphKind(resource), { stop, ended });
    });
  return {
    async refresh(signal) {
      const { resources, failed } = await discover(client, { signal });
      const wanted = resources.filter(
        (one) => canAll(one, ['list', 'watch', 'delete']) && !unwatched.has(graphKind(one)),
      );
      kinds = resources;
      const names = new Set(wanted.map(graphKind));
      // Where a group could not be read its kinds are not gone: they stay watched.
      for (const [name, { stop }] of failed.length === 0 ? running : []) {
        if (names.has(name)) continue;
        stop.abort(new Error('the kind is gone'));
        running.delete(name);
        for (const uid of graph.uidsOf(name)) drop(graph, handlers, uid);
      }
      const fresh = wanted.filter((one) => !running.has(graphKind(one))).map(start);
      if (fresh.length === 0) return;
      const limit = new AbortController();
      const late = clock.sleep(listTimeoutMs, AbortSignal.any([signal, limit.signal])).then(
        () => log.warn('some kinds could not be listed; their objects are not collected yet'),
        () => undefined,
      );
      await Promise.race([Promise.all(fresh), late]);
      limit.abort(new Error('all kinds are listed'));
    },
    kindOf(apiVersion, kind) {
      const group = apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
      return kinds.find((one) => one.group === group && one.kind === kind);
    },
    async stop() {
      for (const { stop } of running.values()) stop.abort(new Error('the collector stops'));
      await Promise.allSettled([...running.values()].map(({ ended }) => ended));
    },
  };
}

function drop(graph: OwnerGraph, handlers: MonitorHandlers, uid: string): void {
  const node = graph.remove(uid);
  if (node) handlers.removed(node);
}

/** Keeps the graph up with one kind until the signal aborts. */
async function followKind(
  { client, clock, log }: Environment,
  graph: OwnerGraph,
  handlers: MonitorHandlers,
  resource: Resource,
  signal: AbortSignal,
  onListed: () => void,
): Promise<void> {
  let listed: Set<string> | undefined;
  const take = (node: OwnedNode) => {
    const before = graph.get(node.uid);
    graph.put(node);
    handlers.changed(node, before);
  };
  for await (const event of watchResource(client, resource, {}, { clock, signal, log })) {
    switch (event.type) {
      case 'init':
        listed = new Set();
        break;
      case 'initApply':
        listed?.add(event.object.metadata.uid);
        take(nodeOf(resource, event.object));
        break;
      case 'initDone':
        for (const uid of graph.uidsOf(graphKind(resource)))
          if (!listed?.has(uid)) drop(graph, handlers, uid);
        listed = undefined;
        onListed();
        break;
      case 'apply':
        take(nodeOf(resource, event.object));
        break;
      case 'delete':
        drop(graph, handlers, event.object.metadata.uid);
        break;
      case 'progress':
        break; // A revision and no object.
    }
  }
}
