import type { PodSpec, Toleration } from 'kubernetes-types/core/v1.js';
import type { PriorityClass } from 'kubernetes-types/scheduling/v1.js';
import type { JsonObject } from '../kind.ts';
import { isObject } from '../registry/json.ts';
import type { AdmissionPlugin } from '../registry/request.ts';
import type { WatchCache } from '../registry/watch-cache.ts';
import { forbidden } from '../status.ts';

const isPodCreate = ({ kind, operation }: { kind: { group: string; plural: string }; operation: string }) =>
  operation === 'CREATE' && kind.group === '' && kind.plural === 'pods';

function podSpec(object: JsonObject): PodSpec | undefined {
  return isObject(object['spec']) ? (object['spec'] as unknown as PodSpec) : undefined;
}

/** Resolves a pod's priorityClassName to its number; without one, the class that is the default, or 0. */
export function priorityAdmission(cache: WatchCache): AdmissionPlugin {
  const classes = cache.of('scheduling.k8s.io/priorityclasses');
  const globalDefault = (): PriorityClass | undefined => {
    const snapshot = classes.snapshot();
    for (const key of snapshot?.keys ?? []) {
      const found = snapshot?.get(key) as PriorityClass | undefined;
      if (found?.globalDefault) return found;
    }
    return undefined;
  };
  return {
    name: 'Priority',
    async admit(request) {
      const spec = isPodCreate(request) ? podSpec(request.object) : undefined;
      if (!spec) return;
      const wanted = spec.priorityClassName;
      if (wanted && !classes.get(wanted)) await cache.fresh(AbortSignal.timeout(10_000));
      const found = wanted ? (classes.get(wanted) as PriorityClass | undefined) : globalDefault();
      if (wanted && !found)
        throw forbidden(request.kind, request.name, `no PriorityClass with name ${wanted} was found`);
      const value = found?.value ?? 0;
      if (spec.priority !== undefined && spec.priority !== value)
        throw forbidden(
          request.kind,
          request.name,
          `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`,
        );
      spec.priority = value;
      if (found?.metadata?.name && !wanted) spec.priorityClassName = found.metadata.name;
      spec.preemptionPolicy ??= found?.preemptionPolicy ?? 'PreemptLowerPriority';
    },
  };
}

const patienceSeconds = 300;

/** A pod stays five minutes on a node that is not ready or not reachable, unless it says otherwise. */
export const defaultTolerations: AdmissionPlugin = {
  name: 'DefaultTolerationSeconds',
  admit(request) {
    const spec = isPodCreate(request) ? podSpec(request.object) : undefined;
    if (!spec) return;
    for (const key of ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable']) {
      const tolerated = (spec.tolerations ?? []).some(
        (toleration: Toleration) =>
          (toleration.key === key || !toleration.key) &&
          (toleration.effect === 'NoExecute' || !toleration.effect),
      );
      if (tolerated) continue;
      const added = { key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: patienceSeconds };
      spec.tolerations = [...(spec.tolerations ?? []), added];
    }
  },
};
