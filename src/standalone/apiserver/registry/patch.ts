import { parse as parseYaml } from 'yaml';
import {
  ApiError,
  badRequest,
  conflict,
  isApiError,
  unsupportedMediaType,
  alreadyExists,
} from '../status.ts';
import type { ApiObject, Json, KindInfo } from '../kind.ts';
import { jsonPatch } from '../patch/json-patch.ts';
import { mergePatch } from '../patch/merge-patch.ts';
import { serverSideApply, type ApplyConflict } from '../patch/server-side-apply.ts';
import { strategicMergePatch } from '../patch/strategic-merge-patch.ts';
import { UntypedError } from '../patch/typed-value.ts';
import { createNamed } from './create.ts';
import { isObject, metaOf, rfc3339 } from './json.ts';
import { cloneJson } from '../../../lib/clone-json.ts';
import { apiVersionOf } from './kind-table.ts';
import { bodyObject, settleNames } from './object-meta.ts';
import { onlyKnown, shaped } from './prepare.ts';
import type { Caller, RegistryDeps, WriteOptions } from './request.ts';
import { writeChange, type WritePart } from './update.ts';

export const patchTypes = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

export interface PatchRequest {
  readonly contentType: string;
  readonly text: string;
  /** Server-side apply only: takes fields from other managers. */
  readonly force: boolean;
}

/** What is patched, by what, and who asks. */
export interface PatchCall {
  readonly kind: KindInfo;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly part: WritePart;
  readonly request: PatchRequest;
  readonly options: WriteOptions;
  readonly caller: Caller;
}

export interface Patched {
  readonly object: ApiObject;
  readonly created: boolean;
}

function parsed(text: string, yaml: boolean): Json {
  try {
    // YAML is a superset, but its parser is slow; clients mostly send JSON.
    if (yaml && !text.trimStart().startsWith('{')) return parseYaml(text) as Json;
    return JSON.parse(text) as Json;
  } catch (cause) {
    throw new ApiError(400, 'BadRequest', `error decoding patch: ${(cause as Error).message}`, undefined, {
      cause,
    });
  }
}

/** What a patch that is not an apply makes of the live object. */
function patchedBy(kind: KindInfo, contentType: string, patch: Json): (live: ApiObject) => ApiObject {
  switch (contentType) {
    case patchTypes.json:
      if (!Array.isArray(patch)) throw badRequest('a JSON patch is a list of operations');
      return (live) => jsonPatch(cloneJson(live) as Json, patch) as ApiObject;
    case patchTypes.merge:
      if (!isObject(patch)) throw badRequest('a merge patch is an object');
      return (live) => mergePatch(cloneJson(live) as Json, patch) as ApiObject;
    case patchTypes.strategic:
      if (!kind.builtin) throw unsupportedMediaType([patchTypes.json, patchTypes.merge, patchTypes.apply]);
      if (!isObject(patch)) throw badRequest('a strategic merge patch is an object');
      return (live) => strategicMergePatch(cloneJson(live) as Json, patch, kind.schema) as ApiObject;
    default:
      throw unsupportedMediaType(Object.values(patchTypes));
  }
}

/** PATCH in all its four forms. */
export async function patchObject(deps: RegistryDeps, call: PatchCall): Promise<Patched> {
  const { kind, namespace, request, options, caller } = call;
  if (request.contentType === patchTypes.apply) return await applyObject(deps, call);
  const patch = patchedBy(kind, request.contentType, parsed(request.text, false));
  const object = await changeLive(deps, call, (live) => {
    const result = bodyObject(
      kind,
      refusing(() => patch(live)),
    );
    settleNames(kind, result, namespace, undefined);
    return { object: shaped(kind, result, options.fieldValidation, caller), tracked: false };
  });
  return { object, created: false };
}

const changeLive = (
  deps: RegistryDeps,
  { kind, namespace, name, part, options, caller }: PatchCall,
  change: Parameters<typeof writeChange>[7],
) => writeChange(deps, kind, namespace, name, part, options, caller, change);

/** A patch that does not fit the object is the caller's fault, not ours. */
function refusing<T>(patch: () => T): T {
  try {
    return patch();
  } catch (error) {
    if (isApiError(error)) throw error;
    throw new ApiError(422, 'Invalid', (error as Error).message, undefined, { cause: error });
  }
}

async function applyObject(deps: RegistryDeps, call: PatchCall): Promise<Patched> {
  const { kind, namespace, name, part, request, options, caller } = call;
  const body = parsed(request.text, true);
  if (isObject(body) && (body['apiVersion'] === undefined || body['kind'] === undefined))
    throw badRequest('apiVersion and kind must be set in an apply patch');
  const given = bodyObject(kind, body);
  if (given.metadata?.managedFields) throw badRequest('metadata.managedFields must be nil');
  settleNames(kind, given, namespace, name);
  // What the kind does not know cannot be owned.
  const applied = onlyKnown(kind, given, options.fieldValidation, caller);
  const apply = (live: ApiObject | undefined): ApiObject => {
    const result = refusingUntyped(kind, name, namespace, () =>
      serverSideApply({
        live,
        applied,
        manager: options.fieldManager,
        force: request.force,
        schema: kind.schema,
        apiVersion: apiVersionOf(kind),
        subresource: part,
        hasStatus: kind.subresources.status,
        now: rfc3339(deps.clock.now()),
      }),
    );
    if ('conflicts' in result) throw applyConflict(result.conflicts);
    return result.object;
  };
  // The first try is for what is there; an absent object is made, unless someone makes it just then.
  for (let attempt = 0; attempt < 5; attempt++) {
    try {
      const object = await changeLive(deps, call, (live) => {
        const result = apply(live);
        const managedFields = result.metadata?.managedFields;
        const next = shaped(kind, result, options.fieldValidation, caller);
        if (managedFields) metaOf(next).managedFields = managedFields;
        return { object: next, tracked: true };
      });
      return { object, created: false };
    } catch (error) {
      if (!isApiError(error, 'NotFound') || part !== '') throw error;
      // Who names a uid or a version means an object that is there.
      if (applied.metadata?.uid || applied.metadata?.resourceVersion)
        throw conflict(kind, name, 'uid mismatch: the object does not exist');
    }
    const first = apply(undefined);
    const managedFields = first.metadata?.managedFields;
    const made = await createNamed(deps, kind, first, options, caller, (object) => {
      if (managedFields) metaOf(object).managedFields = managedFields;
      return object;
    });
    if (made) return { object: made, created: true };
  }
  throw alreadyExists(kind, name);
}

function refusingUntyped<T>(kind: KindInfo, name: string, namespace: string | undefined, apply: () => T): T {
  try {
    return apply();
  } catch (error) {
    if (!(error instanceof UntypedError)) throw error;
    const object = `${namespace ? `${namespace}/` : ''}${name}; ${apiVersionOf(kind)}, Kind=${kind.kind}`;
    throw badRequest(`failed to create typed patch object (${object}): ${error.message}`);
  }
}

function applyConflict(conflicts: readonly ApplyConflict[]): ApiError {
  const all = conflicts.flatMap(({ fields }) => fields);
  const texts = conflicts.map(
    ({ manager, fields }) => `conflicts with ${manager}:\n${fields.map((field) => `- ${field}`).join('\n')}`,
  );
  const message =
    all.length === 1
      ? `Apply failed with 1 conflict: ${conflicts[0]?.message}: ${all[0]}`
      : `Apply failed with ${all.length} conflicts: ${texts.join('\n')}`;
  return new ApiError(409, 'Conflict', message, {
    causes: conflicts.flatMap(({ message: why, fields }) =>
      fields.map((field) => ({ reason: 'FieldManagerConflict', message: why, field })),
    ),
  });
}
