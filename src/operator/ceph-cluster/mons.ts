import type { Deployment } from 'kubernetes-types/apps/v1.js';
import type { PodSpec } from 'kubernetes-types/core/v1.js';
import { Deployments } from '../../api/core.ts';
import type { Stored } from '../../api/resource.ts';
import { monDefaults } from './daemon-defaults.ts';
import {
  cephContainer,
  commonArgs,
  daemonDeployment,
  daemonVolumes,
  keyringMount,
  keyringVolume,
  resourcesOf,
} from './daemon-pod.ts';
import type { MonPlan, PlannedMon } from './mon-plan.ts';
import { dataDirOf, type ClusterWork } from './work.ts';

const keyring = 'rook-ceph-mons-keyring';

/** Starts all mons at once: the plan is recorded, so they find each other by address. */
export async function ensureMons(
  work: ClusterWork,
  plan: MonPlan,
  fsid: string,
  fewHosts: boolean,
): Promise<readonly Stored<Deployment>[]> {
  return await Promise.all(
    plan.mons.map((mon) =>
      work.objects.ensure(Deployments, monDeployment(work, mon, fsid, fewHosts), work.signal),
    ),
  );
}

/**
 * One mon. Its init container makes the store, and ends well where there is one. `fewHosts`: the first
 * CRUSH rule keeps copies apart by OSD, for with fewer than three hosts it could never be met.
 */
export function monDeployment(
  work: ClusterWork,
  mon: PlannedMon,
  fsid: string,
  fewHosts: boolean,
): Deployment {
  const dataDir = `/var/lib/ceph/mon/ceph-${mon.name}`;
  const resources = resourcesOf(work, 'mon');
  const args = [
    ...commonArgs(fsid),
    `--id=${mon.name}`,
    '--setuser=ceph',
    '--setgroup=ceph',
    `--public-addr=${mon.address}`,
    ...monDefaults(),
  ];
  const mounts = [keyringMount(keyring), { name: 'ceph-daemon-data', mountPath: dataDir }];
  const pod: PodSpec = {
    nodeSelector: { 'kubernetes.io/hostname': mon.hostname },
    volumes: [
      ...daemonVolumes,
      keyringVolume(keyring),
      {
        name: 'ceph-daemon-data',
        hostPath: { path: `${dataDirOf(work.cluster)}/mon-${mon.name}/data`, type: 'DirectoryOrCreate' },
      },
    ],
    initContainers: [
      cephContainer(
        work,
        {
          name: 'chown-container-data-dir',
          command: ['chown'],
          // The folder on the host is root’s when it is made.
          args: ['--recursive', 'ceph:ceph', '/run/ceph', '/var/lib/ceph/crash', dataDir],
          volumeMounts: mounts,
        },
        resources,
      ),
      cephContainer(
        work,
        {
          name: 'init-mon-fs',
          command: ['ceph-mon'],
          args: [...args, ...(fewHosts ? ['--osd-crush-chooseleaf-type=0'] : []), '--mkfs'],
          volumeMounts: mounts,
        },
        resources,
      ),
    ],
    containers: [
      cephContainer(
        work,
        {
          name: 'mon',
          command: ['ceph-mon'],
          // The Service’s address is the mon’s name to the world; the pod can only bind its own.
          args: [...args, '--foreground', '--public-bind-addr=$(ROOK_POD_IP)'],
          ports: [
            { name: 'tcp-msgr2', containerPort: 3300, protocol: 'TCP' },
            { name: 'tcp-msgr1', containerPort: 6789, protocol: 'TCP' },
          ],
          // A mon out of quorum still listens and must not be killed for it; a dead port is dead.
          livenessProbe: {
            tcpSocket: { port: 3300 },
            initialDelaySeconds: 10,
            periodSeconds: 10,
            failureThreshold: 6,
          },
          volumeMounts: mounts,
        },
        resources,
      ),
    ],
  };
  return daemonDeployment(work, { type: 'mon', id: mon.name, serviceAccount: 'rook-ceph-default' }, pod);
}
