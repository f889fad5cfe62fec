import { kindsOfCrd } from '../interim/schema/crd.ts';
import { invalid } from '../status.ts';
import type { ApiObject, Json, JsonObject } from '../kind.ts';
import { isObject, metaOf, rfc3339, sameJson } from '../registry/json.ts';
import type { AdmissionPlugin } from '../registry/request.ts';

export const instancesFinalizer = 'customresourcecleanup.apiextensions.k8s.io';

interface Definition {
  spec?: { names?: JsonObject; versions?: { name: string; storage?: boolean }[] };
  status?: { conditions?: Condition[]; storedVersions?: string[]; acceptedNames?: JsonObject };
}

interface Condition {
  [key: string]: Json;
  type: string;
  status: string;
  lastTransitionTime: string;
  reason: string;
  message: string;
}

/** Sets a condition, keeping its time where only words change. */
function withCondition(conditions: readonly Condition[], next: Condition): Condition[] {
  const before = conditions.find(({ type }) => type === next.type);
  const time = before?.status === next.status ? before.lastTransitionTime : next.lastTransitionTime;
  return [...conditions.filter(({ type }) => type !== next.type), { ...next, lastTransitionTime: time }];
}

function establish(object: ApiObject, now: string): void {
  const crd = object as unknown as Definition;
  const names = crd.spec?.names ?? {};
  const kind = typeof names['kind'] === 'string' ? names['kind'] : '';
  // What defaulting gives names, so that clients see them in acceptedNames.
  names['singular'] ??= kind.toLowerCase();
  names['listKind'] ??= `${kind}List`;
  const condition = (type: string, reason: string, message: string): Condition => ({
    type,
    status: 'True',
    lastTransitionTime: now,
    reason,
    message,
  });
  let conditions = crd.status?.conditions ?? [];
  conditions = withCondition(conditions, condition('NamesAccepted', 'NoConflicts', 'no conflicts found'));
  conditions = withCondition(
    conditions,
    condition('Established', 'InitialNamesAccepted', 'the initial names have been accepted'),
  );
  const stored = crd.status?.storedVersions ?? [];
  const storage = crd.spec?.versions?.find((version) => version.storage)?.name;
  const status = {
    ...crd.status,
    conditions,
    acceptedNames: names,
    storedVersions: storage === undefined || stored.includes(storage) ? stored : [...stored, storage],
  };
  if (!sameJson(crd.status, status)) (object as JsonObject)['status'] = status as unknown as Json;
}

/**
 * Definitions of custom kinds: judged as a whole, established in the write that makes them, so that the
 * kind is served when the answer arrives, and held by a finalizer until their objects are gone.
 */
export function customDefinitions(nowMs: () => number): AdmissionPlugin {
  const concerns = (request: { kind: { group: string; plural: string } }) =>
    request.kind.group === 'apiextensions.k8s.io' && request.kind.plural === 'customresourcedefinitions';
  return {
    name: 'CustomResourceDefinition',
    admit(request) {
      if (!concerns(request) || !isObject((request.object as JsonObject)['spec'])) return;
      const metadata = metaOf(request.object);
      if (!metadata.deletionTimestamp && !metadata.finalizers?.includes(instancesFinalizer))
        metadata.finalizers = [...(metadata.finalizers ?? []), instancesFinalizer];
      establish(request.object, rfc3339(nowMs()));
    },
    judge(request) {
      if (!concerns(request)) return;
      const { errors } = kindsOfCrd(request.object);
      if (errors.length > 0) throw invalid(request.kind, request.name, errors);
    },
  };
}
