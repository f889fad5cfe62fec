import type { Namespace } from 'kubernetes-types/core/v1.js';
import { Namespaces, Pods } from '../../api/core.ts';
import { refOf, type Resource, type Stored } from '../../api/resource.ts';
import { setCondition, type Condition } from '../../control/conditions.ts';
import { done, requeueAfter } from '../../control/outcome.ts';
import type { ControllerSpec } from '../../control/reconciler.ts';
import { writeStatus } from '../../control/status.ts';
import type { KubeClient } from '../../kube/client.ts';
import { isConflict, isKubeError, isNotFound } from '../../kube/errors.ts';
import { mapLimit } from '../../lib/map-limit.ts';
import { canAll, discover, type Discovered, type DiscoveredResource } from './discovery.ts';
import type { Environment } from './environment.ts';

const finalizer = 'kubernetes';
const kindsAtOnce = 8;

/** Empties each namespace that is deleted, and lets it go when nothing is left in it. */
export function namespaceController(environment: Environment): ControllerSpec<Namespace> {
  const { client, clock } = environment;
  const rounds = new Map<string, number>();
  return {
    resource: Namespaces,
    concurrency: 4,
    timeoutMs: 300_000,
    reconciler: {
      name: 'namespace',
      async reconcile(namespace, { signal, log }) {
        const { metadata, spec } = namespace;
        if (metadata.deletionTimestamp === undefined || !spec?.finalizers?.includes(finalizer)) return done;
        const discovered = await discover(client, { signal });
        const found = await empty(client, metadata.name, discovered, signal);
        if (found.left.length === 0 && discovered.failed.length === 0 && found.failures.length === 0) {
          await finalizeNamespace(client, namespace, signal);
          rounds.delete(metadata.uid);
          return done;
        }
        log.debug({ left: found.left, failures: found.failures }, 'namespace is not empty yet');
        const conditionsOf = (current: Stored<Namespace>) =>
          deletionConditions(current, discovered, found, clock.now());
        await writeStatus(
          client,
          Namespaces,
          namespace,
          (current) => ({ ...current.status, phase: 'Terminating', conditions: conditionsOf(current) }),
          { signal },
        );
        // Nothing tells us when other controllers' finalizers are done, so we look: often at first.
        const round = (rounds.get(metadata.uid) ?? 0) + 1;
        rounds.set(metadata.uid, round);
        return requeueAfter(Math.min(100 * 1.5 ** round, 15_000));
      },
    },
  };
}

interface Left {
  readonly kind: string;
  readonly count: number;
  /** How many objects each finalizer holds. */
  readonly finalizers: ReadonlyMap<string, number>;
}
interface Emptied {
  readonly left: readonly Left[];
  readonly failures: readonly string[];
}

/** Asks for the deletion of everything in it, pods first, and says what is still there. */
async function empty(
  client: KubeClient,
  namespace: string,
  { resources }: Discovered,
  signal: AbortSignal,
): Promise<Emptied> {
  const kinds = resources.filter((one) => one.namespaced && canAll(one, ['list', 'delete']));
  const left: Left[] = [];
  const failures: string[] = [];
  const sweep = async (kind: DiscoveredResource) => {
    try {
      const remains = await emptyKind(client, kind, namespace, signal);
      if (remains) left.push(remains);
    } catch (error) {
      signal.throwIfAborted();
      if (isNotFound(error) || isKubeError(error, 'MethodNotAllowed')) return; // The kind itself went away.
      failures.push(`${kind.plural}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const isPods = (kind: Resource) => kind.group === Pods.group && kind.plural === Pods.plural;
  await mapLimit(kinds.filter(isPods), 1, sweep);
  // Pods that stop still need their Secrets, claims and network policies.
  if (left.length === 0)
    await mapLimit(
      kinds.filter((kind) => !isPods(kind)),
      kindsAtOnce,
      sweep,
    );
  return { left, failures };
}

async function emptyKind(
  client: KubeClient,
  kind: DiscoveredResource,
  namespace: string,
  signal: AbortSignal,
): Promise<Left | undefined> {
  const before = await client.list(kind, { namespace }, { signal });
  const alive = before.items.filter((one) => one.metadata.deletionTimestamp === undefined);
  await mapLimit(alive, kindsAtOnce, async (object) => {
    await client
      .delete(kind, refOf(object), { signal, uid: object.metadata.uid, propagationPolicy: 'Background' })
      .catch((error: unknown) => {
        if (!isConflict(error)) throw error; // Made anew under its name: the next round sees it.
      });
  });
  const after = before.items.length === 0 ? before : await client.list(kind, { namespace }, { signal });
  if (after.items.length === 0) return undefined;
  const finalizers = new Map<string, number>();
  for (const object of after.items) {
    for (const one of object.metadata.finalizers ?? []) finalizers.set(one, (finalizers.get(one) ?? 0) + 1);
  }
  const name = kind.group === '' ? kind.plural : `${kind.plural}.${kind.group}`;
  return { kind: name, count: after.items.length, finalizers };
}

async function finalizeNamespace(
  client: KubeClient,
  namespace: Stored<Namespace>,
  signal: AbortSignal,
): Promise<void> {
  const finalizers = (namespace.spec?.finalizers ?? []).filter((one) => one !== finalizer);
  const wanted = { ...namespace, spec: { ...namespace.spec, finalizers } };
  try {
    await client.update(Namespaces, wanted, { signal, subresource: 'finalize' });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

function deletionConditions(
  namespace: Namespace,
  discovered: Discovered,
  { left, failures }: Emptied,
  nowMs: number,
): NonNullable<NonNullable<Namespace['status']>['conditions']> {
  let conditions = (namespace.status?.conditions ?? []) as Condition[];
  const set = (type: string, problem: string | undefined, reasons: [string, string], fine: string) => {
    const [bad, good] = reasons;
    const update = {
      type,
      status: problem !== undefined,
      reason: problem === undefined ? good : bad,
      message: problem ?? fine,
    };
    conditions = setCondition(conditions, update, nowMs);
  };
  const text = (parts: readonly string[]) => (parts.length === 0 ? undefined : parts.join(', '));
  const kinds = left.map((one) => `${one.kind} has ${one.count} resource instances`).sort();
  const held = new Map<string, number>();
  for (const one of left) {
    for (const [name, count] of one.finalizers) held.set(name, (held.get(name) ?? 0) + count);
  }
  const holders = [...held].map(([name, count]) => `${name} in ${count} resource instances`).sort();
  set(
    'NamespaceDeletionDiscoveryFailure',
    text(discovered.failed),
    ['DiscoveryFailed', 'ResourcesDiscovered'],
    'All resources successfully discovered',
  );
  set(
    'NamespaceDeletionContentFailure',
    text(failures),
    ['ContentDeletionFailed', 'ContentDeleted'],
    'All content successfully deleted, may be waiting on finalization',
  );
  set(
    'NamespaceContentRemaining',
    kinds.length === 0 ? undefined : `Some resources are remaining: ${kinds.join(', ')}`,
    ['SomeResourcesRemain', 'ContentRemoved'],
    'All content successfully removed',
  );
  set(
    'NamespaceFinalizersRemaining',
    holders.length === 0
      ? undefined
      : `Some content in the namespace has finalizers remaining: ${holders.join(', ')}`,
    ['SomeFinalizersRemain', 'ContentHasNoFinalizers'],
    'All content-preserving finalizers finished',
  );
  return conditions as never;
}
