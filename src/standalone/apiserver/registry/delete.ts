import { permanentNamespaces } from '../admission/namespace-lifecycle.ts';
import { badRequest, conflict, forbidden } from '../status.ts';
import type { ApiObject, JsonObject, KindInfo } from '../kind.ts';
import { commitChange, type Outcome } from './commit.ts';
import { isObject, metaOf, rfc3339 } from './json.ts';
import { cloneJson } from '../../../lib/clone-json.ts';
import { isFinished } from './update.ts';
import type { Caller, RegistryDeps } from './request.ts';
import { toVersion } from './storage-form.ts';

export interface DeleteRequest {
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground' | undefined;
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly dryRun: boolean;
}

export interface Deleted {
  /** The last state, or the state in which it waits for its finalizers. */
  readonly object: ApiObject;
  readonly removed: boolean;
}

const policies = ['Orphan', 'Background', 'Foreground'];

/** Reads DeleteOptions from a body and the query; the query wins, as with Kubernetes. */
export function deleteRequest(body: unknown, query: URLSearchParams): DeleteRequest {
  const options = isObject(body) ? body : {};
  if (options['kind'] !== undefined && options['kind'] !== 'DeleteOptions')
    throw badRequest(`the body of a deletion is DeleteOptions, not ${String(options['kind'])}`);
  const preconditions = isObject(options['preconditions']) ? options['preconditions'] : {};
  const graceText = query.get('gracePeriodSeconds');
  const grace = graceText === null ? options['gracePeriodSeconds'] : Number(graceText);
  if (
    grace !== undefined &&
    grace !== null &&
    (typeof grace !== 'number' || !Number.isInteger(grace) || grace < 0)
  )
    throw badRequest('gracePeriodSeconds must be a whole number that is not negative');
  const orphan = options['orphanDependents'];
  const policy =
    query.get('propagationPolicy') ??
    options['propagationPolicy'] ??
    (orphan === true ? 'Orphan' : orphan === false ? 'Background' : undefined);
  if (policy !== undefined && policy !== null && !policies.includes(String(policy)))
    throw badRequest(
      `propagationPolicy: Unsupported value: "${String(policy)}": supported values: "Foreground", "Background", "Orphan"`,
    );
  const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined);
  const dryRun = options['dryRun'];
  return {
    gracePeriodSeconds: grace ?? undefined,
    propagationPolicy: (policy ?? undefined) as DeleteRequest['propagationPolicy'],
    uid: text(preconditions['uid']),
    resourceVersion: text(preconditions['resourceVersion']),
    dryRun: query.getAll('dryRun').includes('All') || (Array.isArray(dryRun) && dryRun.includes('All')),
  };
}

/** Seconds a pod gets to end; other kinds go at once. */
function graceOf(kind: KindInfo, live: ApiObject, request: DeleteRequest): number {
  if (kind.group !== '' || kind.plural !== 'pods') return 0;
  const { spec, status } = live as unknown as {
    spec?: { nodeName?: string; terminationGracePeriodSeconds?: number };
    status?: { phase?: string };
  };
  // No node would ever confirm the end of a pod that has none, and an ended pod needs no time.
  if (!spec?.nodeName || status?.phase === 'Succeeded' || status?.phase === 'Failed') return 0;
  return request.gracePeriodSeconds ?? spec.terminationGracePeriodSeconds ?? 30;
}

function withPolicy(finalizers: readonly string[], policy: DeleteRequest['propagationPolicy']): string[] {
  const others = finalizers.filter((name) => name !== 'orphan' && name !== 'foregroundDeletion');
  if (policy === 'Orphan') return [...others, 'orphan'];
  if (policy === 'Foreground') return [...others, 'foregroundDeletion'];
  return policy === 'Background' ? others : [...finalizers];
}

function changeOf(deps: RegistryDeps, kind: KindInfo, live: ApiObject, request: DeleteRequest): Outcome {
  const name = live.metadata?.name ?? '';
  const precondition = (what: string, asked: string, is: string | undefined) =>
    conflict(
      kind,
      name,
      `Precondition failed: ${what} in precondition: ${asked}, ${what} in object meta: ${is}`,
    );
  if (request.uid && request.uid !== live.metadata?.uid)
    throw precondition('UID', request.uid, live.metadata?.uid);
  if (request.resourceVersion && request.resourceVersion !== live.metadata?.resourceVersion)
    throw precondition('ResourceVersion', request.resourceVersion, live.metadata?.resourceVersion);

  const next = cloneJson(live);
  const metadata = metaOf(next);
  const deleting = metadata.deletionTimestamp !== undefined;
  const finalizers = withPolicy(metadata.finalizers ?? [], request.propagationPolicy);
  if (finalizers.length > 0) metadata.finalizers = finalizers;
  else delete metadata.finalizers;
  const grace = graceOf(kind, live, request);
  const nowMs = deps.clock.now();
  if (!deleting || grace < (metadata.deletionGracePeriodSeconds ?? 0)) {
    metadata.deletionTimestamp = rfc3339(nowMs + grace * 1000);
    metadata.deletionGracePeriodSeconds = grace;
    if (!deleting && metadata.generation !== undefined) metadata.generation++;
  }
  if (kind.group === '' && kind.plural === 'namespaces') {
    const status = (next as JsonObject)['status'];
    (next as JsonObject)['status'] = { ...(isObject(status) ? status : {}), phase: 'Terminating' };
  }
  if (isFinished(next)) return { remove: next };
  const same = deleting && JSON.stringify(next) === JSON.stringify(live);
  return same ? { same: live } : { put: next };
}

/** DELETE of one object: at once, or marked until its grace is over and its finalizers are gone. */
export async function deleteObject(
  deps: RegistryDeps,
  kind: KindInfo,
  namespace: string | undefined,
  name: string,
  request: DeleteRequest,
  caller: Pick<Caller, 'signal'>,
): Promise<Deleted> {
  const { object, removed } = await commitChange(
    deps,
    kind,
    namespace,
    name,
    { dryRun: request.dryRun, signal: caller.signal },
    (stored) => {
      if (kind.group === '' && kind.plural === 'namespaces' && permanentNamespaces.includes(name))
        throw forbidden(kind, name, 'this namespace may not be deleted');
      return changeOf(deps, kind, toVersion(kind, stored), request);
    },
  );
  return { object: toVersion(kind, object), removed };
}
