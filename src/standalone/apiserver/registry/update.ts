import { badRequest, invalid } from '../status.ts';
import type { ApiObject, FieldError, JsonObject, KindInfo } from '../kind.ts';
import { trackManagedFields } from '../patch/server-side-apply.ts';
import { runAdmission } from './admit.ts';
import { commitChange, type Outcome } from './commit.ts';
import { settle } from './create.ts';
import { metaOf, rfc3339 } from './json.ts';
import { cloneJson } from '../../../lib/clone-json.ts';
import { apiVersionOf } from './kind-table.ts';
import { bodyObject, finalizerErrors, keepServerFields, settleNames } from './object-meta.ts';
import { assertValid, changesNothing, defaulted, keepStatus, shaped, specChanged } from './prepare.ts';
import type { Caller, RegistryDeps, WriteOptions } from './request.ts';
import { toVersion } from './storage-form.ts';

/** Which part of the object a write is for: `''` the object itself, or `status`. */
export type WritePart = '' | 'status';

/** The new object that a caller wants, made from the live one. Throws to refuse. */
export type Wanted = (live: ApiObject) => { readonly object: ApiObject; readonly tracked: boolean };

/** PUT: replaces an object by a request's body. */
export async function updateObject(
  deps: RegistryDeps,
  kind: KindInfo,
  namespace: string | undefined,
  name: string,
  part: WritePart,
  body: unknown,
  options: WriteOptions,
  caller: Caller,
): Promise<ApiObject> {
  const given = bodyObject(kind, body);
  settleNames(kind, given, namespace, name);
  if (!kind.builtin && !given.metadata?.resourceVersion)
    throw invalid(kind, name, [
      {
        field: 'metadata.resourceVersion',
        reason: 'FieldValueInvalid',
        message: 'Invalid value: 0x0: must be specified for an update',
      },
    ]);
  const object = shaped(kind, given, options.fieldValidation, caller);
  return await writeChange(deps, kind, namespace, name, part, options, caller, () => ({
    object: cloneJson(object),
    tracked: false,
  }));
}

/** Brings an object to what `wanted` makes of it: the common end of PUT and PATCH. */
export async function writeChange(
  deps: RegistryDeps,
  kind: KindInfo,
  namespace: string | undefined,
  name: string,
  part: WritePart,
  options: WriteOptions,
  caller: Caller,
  wanted: Wanted,
): Promise<ApiObject> {
  const afterwards: (() => void)[] = [];
  let seenAt = 0;
  try {
    const { object } = await commitChange(
      deps,
      kind,
      namespace,
      name,
      { dryRun: options.dryRun, signal: caller.signal },
      (stored) => {
        const live = toVersion(kind, stored);
        return changeOf(deps, kind, part, live, wanted(live), options, caller, afterwards);
      },
    );
    seenAt = Number(object.metadata?.resourceVersion ?? 0);
    return toVersion(kind, object);
  } finally {
    settle(deps, seenAt, afterwards);
  }
}

async function changeOf(
  deps: RegistryDeps,
  kind: KindInfo,
  part: WritePart,
  live: ApiObject,
  { object: given, tracked }: ReturnType<Wanted>,
  options: WriteOptions,
  caller: Caller,
  afterwards: (() => void)[],
): Promise<Outcome> {
  if ((given.metadata?.name ?? '') !== (live.metadata?.name ?? ''))
    throw badRequest('the name of the object may not be changed');
  const managedFields = given.metadata?.managedFields;
  keepServerFields(kind, given, live);
  const next = part === 'status' ? statusOnly(kind, given, live) : defaulted(kind, given);
  if (managedFields) metaOf(next).managedFields = managedFields;
  if (part === '') {
    keepStatus(kind, next, live);
    if (kind.hasGeneration && specChanged(kind, next, live))
      metaOf(next).generation = (live.metadata?.generation ?? 0) + 1;
  }
  await checkChange(deps, kind, part, next, live, options, caller, afterwards);
  const final = tracked
    ? next
    : trackManagedFields({
        live,
        updated: next,
        manager: options.fieldManager,
        operation: 'Update',
        schema: kind.schema,
        apiVersion: apiVersionOf(kind),
        subresource: options.trackedAs ?? part,
        hasStatus: kind.subresources.status,
        now: rfc3339(deps.clock.now()),
      });
  if (isFinished(final)) return { remove: final };
  return changesNothing(final, live) ? { same: live } : { put: final };
}

async function checkChange(
  deps: RegistryDeps,
  kind: KindInfo,
  part: WritePart,
  next: ApiObject,
  live: ApiObject,
  options: WriteOptions,
  caller: Caller,
  afterwards: (() => void)[],
): Promise<void> {
  const errors: FieldError[] = finalizerErrors(next, live);
  if (part === 'status') return assertValid(kind, next, live, errors);
  await runAdmission(
    deps,
    {
      operation: 'UPDATE',
      kind,
      namespace: live.metadata?.namespace,
      name: live.metadata?.name ?? '',
      object: next,
      live,
      user: caller.user,
      dryRun: options.dryRun,
      warn: caller.warn,
      afterwards: (act) => afterwards.push(act),
    },
    () => assertValid(kind, next, live, errors),
  );
}

/** The live object with the given status: a status write touches nothing else. */
function statusOnly(kind: KindInfo, given: ApiObject, live: ApiObject): ApiObject {
  const next = cloneJson(live);
  const status = (given as JsonObject)['status'];
  if (status === undefined) delete (next as JsonObject)['status'];
  else (next as JsonObject)['status'] = status;
  return defaulted(kind, next);
}

/** Whether nothing holds a deleted object any more: the last finalizer went, and no grace is left. */
export function isFinished(object: ApiObject): boolean {
  const { metadata } = object;
  if (!metadata?.deletionTimestamp || (metadata.finalizers?.length ?? 0) > 0) return false;
  const specFinalizers = (object as JsonObject)['spec'] as { finalizers?: unknown[] } | undefined;
  if (object.kind === 'Namespace' && (specFinalizers?.finalizers?.length ?? 0) > 0) return false;
  return (metadata.deletionGracePeriodSeconds ?? 0) === 0;
}
