import type { StatefulSet } from 'kubernetes-types/apps/v1.js';
import type { PersistentVolumeClaim, Pod } from 'kubernetes-types/core/v1.js';
import type { Stored } from '../../api/resource.ts';
import { revisionHashLabel } from './controller-revisions.ts';
import { podFromTemplate } from './pod-template.ts';

/** The number at the end of a pod's name, where the pod is one of the set's. */
export function ordinalOf(set: StatefulSet, pod: Pod): number | undefined {
  const prefix = `${set.metadata?.name}-`;
  const name = pod.metadata?.name ?? '';
  const text = name.startsWith(prefix) ? name.slice(prefix.length) : '';
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

export const claimName = (template: string, set: string, ordinal: number): string =>
  `${template}-${set}-${ordinal}`;

/** The pod of one ordinal: a stable name, host name, and its own claims. */
export function statefulPod(set: Stored<StatefulSet>, ordinal: number, hash: string): Pod {
  const name = `${set.metadata.name}-${ordinal}`;
  const labels = {
    [revisionHashLabel]: hash,
    'statefulset.kubernetes.io/pod-name': name,
    'apps.kubernetes.io/pod-index': String(ordinal),
  };
  const pod = podFromTemplate(set.spec?.template, set, { name, labels });
  const claims = (set.spec?.volumeClaimTemplates ?? []).map((one) => one.metadata?.name ?? '');
  const own = claims.map((template) => ({
    name: template,
    persistentVolumeClaim: { claimName: claimName(template, set.metadata.name, ordinal) },
  }));
  const others = (pod.spec?.volumes ?? []).filter((volume) => !claims.includes(volume.name));
  const spec = pod.spec ?? { containers: [] };
  const { serviceName } = set.spec ?? {};
  return {
    ...pod,
    spec: {
      ...spec,
      hostname: name,
      ...(serviceName ? { subdomain: serviceName } : {}),
      ...(own.length + others.length > 0 ? { volumes: [...others, ...own] } : {}),
    },
  };
}

/** The claims of one ordinal; they have no owner, for data outlives its set unless the policy says otherwise. */
export function claimsOf(set: Stored<StatefulSet>, ordinal: number): PersistentVolumeClaim[] {
  return (set.spec?.volumeClaimTemplates ?? []).map((template) => ({
    ...(template.spec ? { spec: template.spec } : {}),
    metadata: {
      ...template.metadata,
      name: claimName(template.metadata?.name ?? '', set.metadata.name, ordinal),
      namespace: set.metadata.namespace ?? '',
      labels: { ...template.metadata?.labels, ...set.spec?.selector.matchLabels },
    },
  }));
}
