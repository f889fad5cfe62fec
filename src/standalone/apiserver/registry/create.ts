import { alreadyExists, ApiError, badRequest, qualified } from '../status.ts';
import type { ApiObject, KindInfo } from '../kind.ts';
import { trackManagedFields } from '../patch/server-side-apply.ts';
import { runAdmission } from './admit.ts';
import { commitNew } from './commit.ts';
import { metaOf } from './json.ts';
import { apiVersionOf } from './kind-table.ts';
import { selectOwnPods } from './job-selector.ts';
import { bodyObject, generatedName, settleNames, stampNew } from './object-meta.ts';
import { assertValid, shaped, withoutStatus } from './prepare.ts';
import { rfc3339 } from './json.ts';
import type { Caller, RegistryDeps, WriteOptions } from './request.ts';
import { localKey, storageOf, toVersion } from './storage-form.ts';

const generateAttempts = 8;

/** POST: makes an object from a request's body. */
export async function createObject(
  deps: RegistryDeps,
  kind: KindInfo,
  namespace: string | undefined,
  body: unknown,
  options: WriteOptions,
  caller: Caller,
): Promise<ApiObject> {
  const given = bodyObject(kind, body);
  if (given.metadata?.resourceVersion)
    throw badRequest('resourceVersion should not be set on objects to be created');
  settleNames(kind, given, namespace, undefined);
  const generate = given.metadata?.name ? undefined : given.metadata?.generateName;
  for (let attempt = 0; ; attempt++) {
    const named = { ...given, metadata: { ...given.metadata } } as ApiObject;
    if (generate) metaOf(named).name = generatedName(generate, deps.random);
    const made = await createNamed(deps, kind, named, options, caller, (object) =>
      trackManagedFields({
        live: undefined,
        updated: object,
        manager: options.fieldManager,
        operation: 'Update',
        schema: kind.schema,
        apiVersion: apiVersionOf(kind),
        subresource: '',
        hasStatus: kind.subresources.status,
        now: rfc3339(deps.clock.now()),
      }),
    );
    if (made) return made;
    if (!generate) throw alreadyExists(kind, named.metadata?.name ?? '');
    if (attempt >= generateAttempts)
      throw new ApiError(
        409,
        'AlreadyExists',
        `${qualified(kind)} "${named.metadata?.name}" already exists, the server was not able to generate a unique name for the object`,
      );
  }
}

/** Makes an object whose name is settled; `false` where it is taken. `track` does the managedFields. */
export async function createNamed(
  deps: RegistryDeps,
  kind: KindInfo,
  given: ApiObject,
  options: WriteOptions,
  caller: Caller,
  track: (object: ApiObject) => ApiObject,
): Promise<ApiObject | false> {
  const object = shaped(kind, given, options.fieldValidation, caller);
  stampNew(object, deps.clock.now(), deps.newUid(), kind.hasGeneration);
  if (!kind.statusOnCreate) withoutStatus(kind, object);
  const { name = '', namespace } = metaOf(object);
  const afterwards: (() => void)[] = [];
  let seenAt = 0;
  try {
    await runAdmission(
      deps,
      {
        operation: 'CREATE',
        kind,
        namespace,
        name,
        object,
        live: undefined,
        user: caller.user,
        dryRun: options.dryRun,
        warn: caller.warn,
        afterwards: (act) => afterwards.push(act),
      },
      () => assertValid(kind, object, undefined),
    );
    const final = selectOwnPods(kind, track(object));
    if (options.dryRun) {
      await deps.cache.fresh(caller.signal);
      return deps.cache.of(storageOf(kind)).get(localKey(namespace, name)) ? false : final;
    }
    const stored = await commitNew(deps, kind, namespace, name, final, caller.signal);
    if (!stored) return false;
    seenAt = Number(stored.metadata?.resourceVersion);
    return toVersion(kind, stored);
  } finally {
    settle(deps, seenAt, afterwards);
  }
}

/** Runs what plugins left for the end once the write is visible, so that nobody sees neither. */
export function settle(deps: RegistryDeps, revision: number, afterwards: readonly (() => void)[]): void {
  if (afterwards.length === 0) return;
  const run = () => {
    for (const act of afterwards) act();
  };
  deps.cache.reached(revision, 10_000, new AbortController().signal).then(run, run);
}
