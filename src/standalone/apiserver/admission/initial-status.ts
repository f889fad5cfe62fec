import type { Container, PodSpec } from 'kubernetes-types/core/v1.js';
import { compareQuantity, parseQuantity } from '../../../lib/quantity.ts';
import type { Json, JsonObject } from '../kind.ts';
import { isObject } from '../registry/json.ts';
import type { AdmissionPlugin } from '../registry/request.ts';

const counted = ['cpu', 'memory'] as const;

const amountOf = (list: Container['resources'], part: 'limits' | 'requests', name: string) => {
  const quantity = parseQuantity(list?.[part]?.[name] ?? '0');
  return quantity && quantity.milli > 0n ? quantity : undefined;
};

/** Guaranteed where every container's cpu and memory are limited to what they request, as Kubernetes counts. */
export function qosClass(spec: Pick<PodSpec, 'containers' | 'initContainers'>): string {
  const containers = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  let any = false;
  let guaranteed = true;
  for (const { resources } of containers)
    for (const name of counted) {
      const limit = amountOf(resources, 'limits', name);
      const request = amountOf(resources, 'requests', name) ?? limit;
      any ||= limit !== undefined || request !== undefined;
      guaranteed &&= limit !== undefined && request !== undefined && compareQuantity(limit, request) === 0;
    }
  if (!any) return 'BestEffort';
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

function statusOf(plural: string, object: JsonObject): Json | undefined {
  switch (plural) {
    case 'pods':
      return isObject(object['spec'])
        ? { phase: 'Pending', qosClass: qosClass(object['spec'] as unknown as PodSpec) }
        : undefined;
    case 'persistentvolumeclaims':
    case 'persistentvolumes':
      return { phase: 'Pending' };
    default:
      return undefined;
  }
}

/** The status that new objects of some kinds begin with, before any controller saw them. */
export const initialStatus: AdmissionPlugin = {
  name: 'InitialStatus',
  admit({ kind, operation, object }) {
    if (operation !== 'CREATE' || kind.group !== '') return;
    const status = statusOf(kind.plural, object as JsonObject);
    if (status !== undefined) (object as JsonObject)['status'] = status;
  },
};
