import { z } from 'zod';
import { int, list, map, object, text } from './schema.ts';
import { cephxKey, cephxKeyWithPrior, conditions, countByVersion } from './status-parts.ts';

/** What became of one disk, and why. */
const DiskVerdict = z.looseObject({
  device: text('Its stable path where it has one, else its name.'),
  verdict: text('InUse, Available, Preparing, Skipped or Failed.'),
  reason: text('One word, from the documented list.'),
  message: text('Why, and what would change it.'),
  osd: int('The OSD on it.'),
  sizeBytes: int('Its size.', { format: 'int64' }),
  owner: text('The FSID of the cluster whose data is on it.'),
});

const NodeStorage = z.looseObject({
  node: text('The node.'),
  phase: text('Pending, Preparing, Completed or Failed.'),
  message: text('What it waits for.'),
  since: text('Since when.'),
  devices: list(DiskVerdict, 'A verdict for each disk.'),
});

const versions = object(
  {
    'cephfs-mirror': countByVersion('CephFS mirrors.'),
    mds: countByVersion('Metadata servers.'),
    mgr: countByVersion('Managers.'),
    mon: countByVersion('Monitors.'),
    osd: countByVersion('OSDs.'),
    overall: countByVersion('All daemons.'),
    'rbd-mirror': countByVersion('RBD mirrors.'),
    rgw: countByVersion('Object gateways.'),
  },
  'How many daemons run which version.',
);

const ceph = object(
  {
    capacity: object(
      {
        bytesAvailable: int('Bytes free.', { format: 'int64' }),
        bytesTotal: int('Bytes in all.', { format: 'int64' }),
        bytesUsed: int('Bytes used.', { format: 'int64' }),
        lastUpdated: text('When it was read.'),
      },
      'Raw capacity.',
    ),
    details: map(
      z.looseObject({
        message: z.string().describe('Summary.'),
        severity: z.string().describe('HEALTH_WARN or HEALTH_ERR.'),
      }),
      'Health checks that fail, by code.',
    ),
    fsid: text('The cluster’s own id.'),
    health: text('HEALTH_OK, HEALTH_WARN or HEALTH_ERR.'),
    lastChanged: text('When health changed.'),
    lastChecked: text('When health was read.'),
    previousHealth: text('What it was before.'),
    versions,
  },
  'What Ceph says of itself.',
);

/** `status` of a CephCluster. `storage.nodes`, `waitingFor` and `notHonoured` are Holdfast's own. */
export const ClusterStatus = z
  .looseObject({
    ceph,
    cephx: object(
      {
        admin: cephxKey('client.admin.'),
        cephExporter: cephxKey('The exporter.'),
        crashCollector: cephxKey('The crash collector.'),
        csi: cephxKeyWithPrior('CSI.'),
        mgr: cephxKey('The mgrs.'),
        mon: cephxKey('The mons.'),
        osd: cephxKey('The OSDs.'),
        rbdMirrorPeer: cephxKey('The mirroring peer.'),
      },
      'Generations of keys.',
    ),
    conditions,
    message: text('What happens now.'),
    observedGeneration: int('The generation that the status speaks of.', { format: 'int64' }),
    phase: text('Progressing, Connecting, Connected, Ready, Deleting or Failure.'),
    state: text('Creating, Created, Connecting, Connected, Updating, Deleting or Error.'),
    storage: object(
      {
        deprecatedOSDs: map(z.array(z.int()), 'OSDs made in a way that is no longer made, by reason.'),
        deviceClasses: list(z.looseObject({ name: text('Its name.') }), 'Device classes in the cluster.'),
        nodes: list(NodeStorage, 'What became of each node’s disks.'),
        osd: object(
          {
            migrationStatus: object({ pending: int('OSDs still to be remade.') }, 'Remaking of OSDs.'),
            storeType: map(z.int(), 'OSDs by store.'),
          },
          'The OSDs.',
        ),
      },
      'Storage.',
    ),
    version: object({ image: text('The image.'), version: text('The version in it.') }, 'The Ceph version.'),
    waitingFor: list(
      z.looseObject({
        step: text('The step.'),
        reason: text('One word, from the documented list.'),
        message: text('What it waits for.'),
        since: text('Since when.'),
        until: text('When it counts as failed.'),
      }),
      'Every wait, with its reason.',
    ),
  })
  .nullish()
  .describe('What is.')
  .meta({ 'x-kubernetes-preserve-unknown-fields': true });

export type CephClusterStatus = NonNullable<z.infer<typeof ClusterStatus>>;
export type DiskVerdictStatus = z.infer<typeof DiskVerdict>;
export type NodeStorageStatus = z.infer<typeof NodeStorage>;
