import { kindsOfCrd } from '../schema/crd.ts';
import { invalid } from '../status.ts';
import type { ApiObject, Json, JsonObject } from '../kind.ts';
import { isObject, metaOf, rfc3339, sameJson } from '../registry/json.ts';
import type { KindTable } from '../registry/kind-table.ts';
import type { AdmissionPlugin } from '../registry/request.ts';

export const instancesFinalizer = 'customresourcecleanup.apiextensions.k8s.io';

interface Definition {
  spec?: { group?: string; names?: JsonObject; versions?: { name: string; storage?: boolean }[] };
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

/** A name of the definition that another kind of its group has already. */
function takenName(crd: Definition, kinds: KindTable): string | undefined {
  const { group, names } = crd.spec ?? {};
  const own = [names?.['plural'], names?.['singular'], ...namesIn(names?.['shortNames'])];
  for (const other of kinds.all()) {
    if (other.group !== group || (!other.builtin && other.plural === names?.['plural'])) continue;
    const theirs = [other.plural, other.singular, ...other.shortNames];
    const taken = own.find((name) => typeof name === 'string' && theirs.includes(name));
    if (typeof taken === 'string') return taken;
    if (names?.['kind'] === other.kind || names?.['listKind'] === other.listKind) return other.kind;
  }
  return undefined;
}

const namesIn = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);

function conditionsFor(taken: string | undefined, now: string): Condition[] {
  const condition = (type: string, status: string, reason: string, message: string): Condition => ({
    type,
    status,
    lastTransitionTime: now,
    reason,
    message,
  });
  if (taken !== undefined)
    return [
      condition('NamesAccepted', 'False', 'NamesConflict', `"${taken}" is already in use`),
      condition('Established', 'False', 'NotAccepted', 'not all names are accepted'),
    ];
  return [
    condition('NamesAccepted', 'True', 'NoConflicts', 'no conflicts found'),
    condition('Established', 'True', 'InitialNamesAccepted', 'the initial names have been accepted'),
  ];
}

function establish(object: ApiObject, kinds: KindTable, now: string): void {
  const crd = object as unknown as Definition;
  const names = crd.spec?.names ?? {};
  const kind = typeof names['kind'] === 'string' ? names['kind'] : '';
  // What defaulting gives names, so that clients see them in acceptedNames.
  names['singular'] ??= kind.toLowerCase();
  names['listKind'] ??= `${kind}List`;
  const taken = takenName(crd, kinds);
  let conditions = crd.status?.conditions ?? [];
  for (const next of conditionsFor(taken, now)) conditions = withCondition(conditions, next);
  const stored = crd.status?.storedVersions ?? [];
  const storage = crd.spec?.versions?.find((version) => version.storage)?.name;
  const status = {
    ...crd.status,
    conditions,
    acceptedNames: taken === undefined ? names : (crd.status?.acceptedNames ?? { plural: '', kind: '' }),
    storedVersions: storage === undefined || stored.includes(storage) ? stored : [...stored, storage],
  };
  if (!sameJson(crd.status, status)) (object as JsonObject)['status'] = status as unknown as Json;
}

/** Whether a definition's names were accepted: else it is stored, but not served. */
export const isEstablished = (crd: ApiObject): boolean =>
  (crd as unknown as Definition).status?.conditions?.some(
    ({ type, status }) => type === 'Established' && status === 'True',
  ) === true;

/**
 * Definitions of custom kinds: judged as a whole, established in the write that makes them, so that the
 * kind is served when the answer arrives, and held by a finalizer until their objects are gone.
 */
export function customDefinitions(kinds: KindTable, nowMs: () => number): AdmissionPlugin {
  const concerns = (request: { kind: { group: string; plural: string } }) =>
    request.kind.group === 'apiextensions.k8s.io' && request.kind.plural === 'customresourcedefinitions';
  return {
    name: 'CustomResourceDefinition',
    admit(request) {
      if (!concerns(request) || !isObject((request.object as JsonObject)['spec'])) return;
      const metadata = metaOf(request.object);
      if (!metadata.deletionTimestamp && !metadata.finalizers?.includes(instancesFinalizer))
        metadata.finalizers = [...(metadata.finalizers ?? []), instancesFinalizer];
      establish(request.object, kinds, rfc3339(nowMs()));
    },
    judge(request) {
      if (!concerns(request)) return;
      const { errors } = kindsOfCrd(request.object);
      if (errors.length > 0) throw invalid(request.kind, request.name, errors);
    },
  };
}
