import { badRequest, notFound } from '../status.ts';
import type { ApiObject, JsonObject, KindInfo, ScalePaths } from '../kind.ts';
import { isObject, metaOf, setAt, valueAt } from './json.ts';
import { cloneJson } from '../../../lib/clone-json.ts';
import { getObject } from './list.ts';
import type { Caller, RegistryDeps, WriteOptions } from './request.ts';
import { writeChange } from './update.ts';

const pathsOf = (kind: KindInfo, name: string): ScalePaths => {
  if (!kind.subresources.scale) throw notFound(kind, name);
  return kind.subresources.scale;
};

function selectorText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!isObject(value)) return undefined;
  const labels = Object.entries((value['matchLabels'] ?? {}) as JsonObject).map(
    ([k, v]) => `${k}=${String(v)}`,
  );
  const expressions = Array.isArray(value['matchExpressions']) ? value['matchExpressions'] : [];
  const others = expressions.filter(isObject).map((expression) => {
    const { key, operator, values } = expression as { key: string; operator: string; values?: string[] };
    const list = `(${(values ?? []).join(',')})`;
    if (operator === 'In') return `${key} in ${list}`;
    if (operator === 'NotIn') return `${key} notin ${list}`;
    return operator === 'Exists' ? key : `!${key}`;
  });
  return [...labels, ...others].join(',');
}

/** The autoscaling/v1 Scale of an object. */
export function scaleOf(kind: KindInfo, object: ApiObject): JsonObject {
  const paths = pathsOf(kind, object.metadata?.name ?? '');
  const { name, namespace, uid, resourceVersion, creationTimestamp } = (object.metadata ?? {}) as JsonObject;
  // Built-in kinds keep their pods' selector in the spec, custom ones where the CRD says.
  const selector = selectorText(
    valueAt(object, kind.builtin ? 'spec.selector' : (paths.labelSelectorPath ?? '')),
  );
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: {
      name: name as string,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    },
    spec: { replicas: (valueAt(object, paths.specReplicasPath) as number | undefined) ?? 0 },
    status: {
      replicas: (valueAt(object, paths.statusReplicasPath) as number | undefined) ?? 0,
      ...(selector ? { selector } : {}),
    },
  };
}

export async function getScale(
  deps: RegistryDeps,
  kind: KindInfo,
  namespace: string | undefined,
  name: string,
  signal: AbortSignal,
): Promise<JsonObject> {
  return scaleOf(kind, await getObject(deps, kind, namespace, name, signal));
}

/** Writes the count that `wanted` makes of the present Scale. */
export async function changeScale(
  deps: RegistryDeps,
  kind: KindInfo,
  namespace: string | undefined,
  name: string,
  options: WriteOptions,
  caller: Caller,
  wanted: (scale: JsonObject) => unknown,
): Promise<JsonObject> {
  const paths = pathsOf(kind, name);
  const tracked: WriteOptions = { ...options, trackedAs: 'scale' };
  const object = await writeChange(deps, kind, namespace, name, '', tracked, caller, (live) => {
    const scale = wanted(scaleOf(kind, live));
    const replicas = valueAt(scale, 'spec.replicas') ?? 0;
    if (typeof replicas !== 'number' || !Number.isInteger(replicas) || replicas < 0)
      throw badRequest('spec.replicas must be a whole number that is not negative');
    const next = cloneJson(live);
    setAt(next as JsonObject, paths.specReplicasPath, replicas);
    const version = valueAt(scale, 'metadata.resourceVersion');
    if (typeof version === 'string' && version !== '') metaOf(next).resourceVersion = version;
    return { object: next, tracked: false };
  });
  return scaleOf(kind, object);
}
