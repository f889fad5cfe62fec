import type { Deployment } from 'kubernetes-types/apps/v1.js';
import type { Container, PodSpec, VolumeMount } from 'kubernetes-types/core/v1.js';
import type { Resources } from '../../api/ceph/pod-parts.ts';
import { Deployments, Secrets } from '../../api/core.ts';
import type { Stored } from '../../api/resource.ts';
import { monDefaults } from './daemon-defaults.ts';
import {
  cephContainer,
  commonArgs,
  daemonDeployment,
  daemonVolumes,
  keyringMount,
  keyringPath,
  keyringVolume,
  resourcesOf,
} from './daemon-pod.ts';
import type { PlannedMon } from './endpoints.ts';
import type { MonPlan } from './mon-plan.ts';
import { encodeMonMap } from './monmap.ts';
import { versionInImageName } from './ceph-version.ts';
import { cephImageOf, dataDirOf, type ClusterWork } from './work.ts';

const keyring = 'rook-ceph-mons-keyring';
const monmapSecret = 'rook-ceph-mons-monmap';

/** Starts all mons at once: the plan is recorded, so they find each other by address. */
export async function ensureMons(
  work: ClusterWork,
  plan: MonPlan,
  fsid: string,
): Promise<readonly Stored<Deployment>[]> {
  await ensureMonMap(work, plan, fsid);
  return await Promise.all(
    plan.mons.map((mon) => work.objects.ensure(Deployments, monDeployment(work, mon, fsid), work.signal)),
  );
}

/** The first map, which mons are made from. It is not read again once a mon has a store. */
async function ensureMonMap(work: ClusterWork, plan: MonPlan, fsid: string): Promise<void> {
  const release = versionInImageName(cephImageOf(work))?.major ?? 16;
  const createdMs = Date.parse(work.cluster.metadata.creationTimestamp);
  const monmap = encodeMonMap(fsid, plan.mons, createdMs, release).toString('base64');
  await work.objects.ensure(
    Secrets,
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: monmapSecret, namespace: work.namespace, ownerReferences: [work.owner] },
      type: 'kubernetes.io/rook',
      data: { monmap },
    },
    work.signal,
  );
}

/**
 * One mon. Its init container makes the store, and ends well where there is one.
 */
export function monDeployment(work: ClusterWork, mon: PlannedMon, fsid: string): Deployment {
  const dataDir = `/var/lib/ceph/mon/ceph-${mon.name}`;
  const resources = resourcesOf(work, 'mon');
  const args = (keyringFile: string) => [
    ...commonArgs(fsid, keyringFile),
    `--id=${mon.name}`,
    `--public-addr=${mon.address}`,
    ...monDefaults(),
  ];
  const data = { name: 'ceph-daemon-data', mountPath: dataDir };
  const parts = { args, data, resources };
  const pod: PodSpec = {
    nodeSelector: { 'kubernetes.io/hostname': mon.hostname },
    volumes: [
      ...daemonVolumes,
      keyringVolume(keyring),
      { name: monmapSecret, secret: { secretName: monmapSecret, defaultMode: 0o400 } },
      {
        name: 'ceph-daemon-data',
        hostPath: { path: `${dataDirOf(work.cluster)}/mon-${mon.name}/data`, type: 'DirectoryOrCreate' },
      },
    ],
    initContainers: makeStore(work, parts),
    containers: [
      cephContainer(
        work,
        {
          name: 'mon',
          command: ['ceph-mon'],
          // The Service’s address is the mon’s name to the world; the pod can only bind its own.
          args: [
            ...args(`${dataDir}/keyring`),
            '--setuser=ceph',
            '--setgroup=ceph',
            '--foreground',
            '--public-bind-addr=$(ROOK_POD_IP)',
          ],
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
          volumeMounts: [data],
        },
        resources,
      ),
    ],
  };
  return daemonDeployment(work, { type: 'mon', id: mon.name, serviceAccount: 'rook-ceph-default' }, pod);
}

interface MonParts {
  readonly args: (keyringFile: string) => string[];
  readonly data: VolumeMount;
  readonly resources: Resources | undefined;
}

/** Makes the store, which does nothing where there is one, and gives it to the daemon’s user. */
function makeStore(work: ClusterWork, { args, data, resources }: MonParts): Container[] {
  return [
    cephContainer(
      work,
      {
        name: 'init-mon-fs',
        command: ['ceph-mon'],
        args: [...args(keyringPath), '--mkfs', '--monmap=/etc/ceph/monmap-store/monmap'],
        volumeMounts: [
          keyringMount(keyring),
          { name: monmapSecret, mountPath: '/etc/ceph/monmap-store', readOnly: true },
          data,
        ],
      },
      resources,
    ),
    cephContainer(
      work,
      {
        name: 'chown-container-data-dir',
        command: ['chown'],
        // mkfs reads keys that only root may; the daemon itself is not root.
        args: ['--recursive', 'ceph:ceph', '/run/ceph', '/var/lib/ceph/crash', data.mountPath],
        volumeMounts: [data],
      },
      resources,
    ),
  ];
}
