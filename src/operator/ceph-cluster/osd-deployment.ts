import type { Deployment } from 'kubernetes-types/apps/v1.js';
import { osdDefaults } from './daemon-defaults.ts';
import { cephContainer, commonArgs, daemonDeployment, daemonVolumes, resourcesOf } from './daemon-pod.ts';
import { crushHostName } from './nodes.ts';
import type { ClusterWork } from './work.ts';

/** An OSD as the operator runs it. Its device is found by `uuid` each time it starts, never by a name. */
export interface RunnableOsd {
  readonly id: number;
  readonly uuid: string;
  readonly hostname: string;
  readonly deviceClass: string | undefined;
}

export function osdDeployment(work: ClusterWork, osd: RunnableOsd, fsid: string): Deployment {
  const id = String(osd.id);
  const dataDir = `/var/lib/ceph/osd/ceph-${id}`;
  const nodes = work.cluster.spec.storage?.nodes ?? [];
  const own = nodes.find((node) => node.name === osd.hostname)?.resources ?? undefined;
  const resources = own ?? resourcesOf(work, ...(osd.deviceClass ? [`osd-${osd.deviceClass}`] : []), 'osd');
  const devices = { name: 'devices', mountPath: '/dev' };
  const data = { name: 'activate-osd', mountPath: dataDir };
  // The daemon opens a raw block device, which takes a privileged container either way.
  const securityContext = { privileged: true, runAsUser: 0 };
  return daemonDeployment(
    work,
    { type: 'osd', id, serviceAccount: 'rook-ceph-osd' },
    {
      nodeSelector: { 'kubernetes.io/hostname': osd.hostname },
      volumes: [
        ...daemonVolumes,
        { name: 'devices', hostPath: { path: '/dev' } },
        { name: 'activate-osd', emptyDir: {} },
      ],
      initContainers: [
        {
          name: 'activate',
          image: work.images.holdfast,
          imagePullPolicy: 'IfNotPresent',
          args: [
            'osd',
            'activate',
            '--osd-uuid',
            osd.uuid,
            '--osd-id',
            id,
            '--fsid',
            fsid,
            '--data-dir',
            dataDir,
          ],
          securityContext,
          volumeMounts: [devices, data],
        },
      ],
      containers: [
        cephContainer(
          work,
          {
            name: 'osd',
            command: ['ceph-osd'],
            args: [
              ...commonArgs(fsid, `${dataDir}/keyring`),
              `--id=${id}`,
              '--foreground',
              `--osd-data=${dataDir}`,
              `--osd-uuid=${osd.uuid}`,
              `--crush-location=root=default host=${crushHostName(osd.hostname)}`,
              // The class was set when the disk was judged; a loop or a virtual disk says rotational and lies.
              '--osd-class-update-on-start=false',
              '--public-addr=$(ROOK_POD_IP)',
              '--cluster-addr=$(ROOK_POD_IP)',
              ...osdDefaults(),
            ],
            securityContext,
            volumeMounts: [devices, data],
          },
          resources,
        ),
      ],
    },
    osdLabels(osd),
  );
}

/** Where the OSD is, as Rook’s labels say it. */
const osdLabels = (osd: RunnableOsd): Record<string, string> => ({
  'failure-domain': osd.hostname,
  portable: 'false',
  'osd-store': 'bluestore',
  'topology-location-host': crushHostName(osd.hostname),
  'topology-location-root': 'default',
  'ceph.rook.io/osd-uuid': osd.uuid,
  ...(osd.deviceClass && { 'device-class': osd.deviceClass }),
});
