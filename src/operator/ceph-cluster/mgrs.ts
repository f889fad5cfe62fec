import type { Deployment } from 'kubernetes-types/apps/v1.js';
import type { Service } from 'kubernetes-types/core/v1.js';
import { Deployments, Services } from '../../api/core.ts';
import type { Stored } from '../../api/resource.ts';
import { mgrDefaults } from './daemon-defaults.ts';
import { daemonLabels } from './daemon-labels.ts';
import {
  cephContainer,
  commonArgs,
  daemonDeployment,
  daemonVolumes,
  keyringMount,
  keyringVolume,
  resourcesOf,
} from './daemon-pod.ts';
import { mgrNames } from './identity.ts';
import type { ClusterWork } from './work.ts';

/** Starts the mgrs beside the mons, for their keys are in the mons’ first keyring. */
export async function ensureMgrs(work: ClusterWork, fsid: string): Promise<readonly Stored<Deployment>[]> {
  const [deployments] = await Promise.all([
    Promise.all(
      mgrNames(work).map((name) =>
        work.objects.ensure(Deployments, mgrDeployment(work, name, fsid), work.signal),
      ),
    ),
    work.objects.ensure(Services, mgrService(work), work.signal),
  ]);
  return deployments;
}

export function mgrDeployment(work: ClusterWork, name: string, fsid: string): Deployment {
  const keyring = `rook-ceph-mgr-${name}-keyring`;
  const resources = resourcesOf(work, 'mgr');
  const modules = (work.cluster.spec.mgr?.modules ?? []).flatMap((one) =>
    one.enabled && one.name ? [one.name] : [],
  );
  const shared = work.cluster.spec.mgr?.allowMultiplePerNode === true || mgrNames(work).length === 1;
  return daemonDeployment(
    work,
    { type: 'mgr', id: name, serviceAccount: 'rook-ceph-mgr' },
    {
      // One that has not reached the mons ignores SIGTERM. It keeps nothing, so there is nothing to wait for.
      terminationGracePeriodSeconds: 5,
      volumes: [...daemonVolumes, keyringVolume(keyring), { name: 'ceph-daemon-data', emptyDir: {} }],
      ...(!shared && {
        affinity: {
          podAntiAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [
              {
                weight: 100,
                podAffinityTerm: {
                  labelSelector: { matchLabels: { app: 'rook-ceph-mgr', rook_cluster: work.namespace } },
                  topologyKey: 'kubernetes.io/hostname',
                },
              },
            ],
          },
        },
      }),
      containers: [
        cephContainer(
          work,
          {
            name: 'mgr',
            command: ['ceph-mgr'],
            args: [
              ...commonArgs(fsid),
              `--id=${name}`,
              '--foreground',
              '--public-addr=$(ROOK_POD_IP)',
              ...mgrDefaults(modules),
            ],
            ports: [
              { name: 'mgr', containerPort: 6800, protocol: 'TCP' },
              { name: 'http-metrics', containerPort: 9283, protocol: 'TCP' },
            ],
            // No liveness probe: the mons notice a hung mgr by its beacons, and a standby takes over.
            volumeMounts: [
              keyringMount(keyring),
              { name: 'ceph-daemon-data', mountPath: `/var/lib/ceph/mgr/ceph-${name}` },
            ],
          },
          resources,
        ),
      ],
    },
    // With a standby, which of them is active changes; Rook’s label then says nothing true.
    mgrNames(work).length === 1 ? { mgr_role: 'active' } : {},
  );
}

function mgrService(work: ClusterWork): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: 'rook-ceph-mgr',
      namespace: work.namespace,
      labels: daemonLabels(work, 'mgr', 'a'),
      ownerReferences: [work.owner],
    },
    spec: {
      type: 'ClusterIP',
      selector: { app: 'rook-ceph-mgr', rook_cluster: work.namespace },
      ports: [{ name: 'http-metrics', port: 9283, targetPort: 9283, protocol: 'TCP' }],
    },
  };
}
