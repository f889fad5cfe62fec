import type { Deployment } from 'kubernetes-types/apps/v1.js';
import type { Container, EnvVar, PodSpec, Volume, VolumeMount } from 'kubernetes-types/core/v1.js';
import type { Resources } from '../../api/ceph/pod-parts.ts';
import { parseBytes } from '../../lib/quantity.ts';
import { daemonAnnotations, daemonLabels, selectorLabels, type DaemonType } from './daemon-labels.ts';
import { cephImageOf, hostNetworkOf, type ClusterWork } from './work.ts';

/** Volumes and mounts that every Ceph daemon has. */
export const configVolume: Volume = {
  name: 'rook-config-override',
  projected: {
    defaultMode: 0o444,
    sources: [
      {
        configMap: {
          name: 'rook-config-override',
          items: [{ key: 'config', path: 'ceph.conf', mode: 0o444 }],
        },
      },
    ],
  },
};
export const configMount: VolumeMount = {
  name: 'rook-config-override',
  mountPath: '/etc/ceph',
  readOnly: true,
};
const socketVolume: Volume = { name: 'ceph-daemons-sock-dir', emptyDir: {} };
const socketMount: VolumeMount = { name: 'ceph-daemons-sock-dir', mountPath: '/run/ceph' };
const crashVolume: Volume = { name: 'ceph-crash', emptyDir: {} };
const crashMount: VolumeMount = { name: 'ceph-crash', mountPath: '/var/lib/ceph/crash' };

export const daemonVolumes = [configVolume, socketVolume, crashVolume];
export const daemonMounts = [configMount, socketMount, crashMount];

export function keyringVolume(secret: string): Volume {
  return {
    name: secret,
    secret: { secretName: secret, defaultMode: 0o400, items: [{ key: 'keyring', path: 'keyring' }] },
  };
}
export const keyringMount = (secret: string): VolumeMount => ({
  name: secret,
  mountPath: '/etc/ceph/keyring-store/',
  readOnly: true,
});
export const keyringPath = '/etc/ceph/keyring-store/keyring';

/** Arguments of every daemon; the mons’ addresses come by environment, for they may change. */
export function commonArgs(fsid: string, keyring: string | undefined = keyringPath): string[] {
  return [
    `--fsid=${fsid}`,
    ...(keyring === undefined ? [] : [`--keyring=${keyring}`]),
    '--mon-host=$(ROOK_CEPH_MON_HOST)',
  ];
}

const fromField = (name: string, fieldPath: string): EnvVar => ({
  name,
  valueFrom: { fieldRef: { fieldPath } },
});
const fromConfig = (name: string, key: string): EnvVar => ({
  name,
  valueFrom: { secretKeyRef: { name: 'rook-ceph-config', key } },
});

export function daemonEnv(work: ClusterWork, resources: Resources | undefined): EnvVar[] {
  const limit = resources?.limits?.['memory'];
  const request = resources?.requests?.['memory'];
  const bytes = (value: string | number | undefined) =>
    value === undefined ? undefined : parseBytes(value)?.toString();
  return [
    { name: 'CONTAINER_IMAGE', value: cephImageOf(work) },
    fromField('POD_NAME', 'metadata.name'),
    fromField('POD_NAMESPACE', 'metadata.namespace'),
    fromField('NODE_NAME', 'spec.nodeName'),
    fromField('ROOK_POD_IP', 'status.podIP'),
    // Ceph itself reads these two and sizes its caches by them.
    ...(bytes(limit) === undefined ? [] : [{ name: 'POD_MEMORY_LIMIT', value: bytes(limit)! }]),
    ...(bytes(request) === undefined ? [] : [{ name: 'POD_MEMORY_REQUEST', value: bytes(request)! }]),
    fromConfig('ROOK_CEPH_MON_HOST', 'mon_host'),
  ];
}

/** A container in the Ceph image, with the common environment and mounts. */
export function cephContainer(
  work: ClusterWork,
  container: Container,
  resources: Resources | undefined,
): Container {
  const policy = work.cluster.spec.cephVersion?.imagePullPolicy;
  return {
    image: cephImageOf(work),
    imagePullPolicy: policy || 'IfNotPresent',
    ...container,
    env: [...daemonEnv(work, resources), ...(container.env ?? [])],
    volumeMounts: [...daemonMounts, ...(container.volumeMounts ?? [])],
    ...(resources && { resources: kubeResources(resources) }),
  };
}

type KubeAmounts = Record<string, string>;
function kubeResources(resources: Resources): NonNullable<Container['resources']> {
  const amounts = (values: Resources['limits']): KubeAmounts =>
    Object.fromEntries(Object.entries(values ?? {}).map(([name, value]) => [name, String(value)]));
  return {
    ...(resources.limits && { limits: amounts(resources.limits) }),
    ...(resources.requests && { requests: amounts(resources.requests) }),
  };
}

export const resourcesOf = (work: ClusterWork, ...keys: readonly string[]): Resources | undefined => {
  for (const key of keys) {
    const found = work.cluster.spec.resources?.[key];
    if (found) return found;
  }
  return undefined;
};

/** Placement of one daemon type: its own goes before `all`, list by list. */
export function placementOf(
  work: Pick<ClusterWork, 'cluster'>,
  type: string,
): Pick<PodSpec, 'affinity' | 'tolerations' | 'topologySpreadConstraints'> {
  const all = work.cluster.spec.placement?.['all'];
  const own = work.cluster.spec.placement?.[type];
  const merged = { ...all, ...own };
  const { nodeAffinity, podAffinity, podAntiAffinity, tolerations, topologySpreadConstraints } = merged;
  const affinity = {
    ...(nodeAffinity && { nodeAffinity }),
    ...(podAffinity && { podAffinity }),
    ...(podAntiAffinity && { podAntiAffinity }),
  };
  // The schemas are the same; only zod’s optional fields are typed a little wider than Kubernetes’.
  return {
    ...(Object.keys(affinity).length > 0 && { affinity: affinity as NonNullable<PodSpec['affinity']> }),
    ...(tolerations && { tolerations: tolerations as NonNullable<PodSpec['tolerations']> }),
    ...(topologySpreadConstraints && {
      topologySpreadConstraints: topologySpreadConstraints as NonNullable<
        PodSpec['topologySpreadConstraints']
      >,
    }),
  };
}

/** A Deployment of one daemon: one pod, replaced only after the old one is gone. */
export function daemonDeployment(
  work: ClusterWork,
  daemon: { readonly type: DaemonType; readonly id: string; readonly serviceAccount: string },
  pod: PodSpec,
  extraLabels: Readonly<Record<string, string>> = {},
): Deployment {
  const { type, id } = daemon;
  const labels = { ...daemonLabels(work, type, id), ...extraLabels };
  const annotations = daemonAnnotations(work, type);
  const hostNetwork = hostNetworkOf(work.cluster);
  const priority =
    work.cluster.spec.priorityClassNames?.[type] ?? work.cluster.spec.priorityClassNames?.['all'];
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name: `rook-ceph-${type}-${id}`,
      namespace: work.namespace,
      labels,
      ...(Object.keys(annotations).length > 0 && { annotations }),
      ownerReferences: [work.owner],
    },
    spec: {
      replicas: 1,
      revisionHistoryLimit: 5,
      // Two pods must never hold one store.
      strategy: { type: 'Recreate' },
      selector: { matchLabels: selectorLabels(work, type, id) },
      template: {
        metadata: { labels, ...(Object.keys(annotations).length > 0 && { annotations }) },
        spec: {
          serviceAccountName: daemon.serviceAccount,
          // Daemons of Ceph have no business with the Kubernetes API.
          automountServiceAccountToken: false,
          restartPolicy: 'Always',
          terminationGracePeriodSeconds: 30,
          securityContext: {},
          ...(hostNetwork && { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }),
          ...(priority && { priorityClassName: priority }),
          ...placementOf(work, type),
          ...pod,
        },
      },
    },
  };
}
