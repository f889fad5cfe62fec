import type { ObjectMeta } from 'kubernetes-types/meta/v1.js';
import { z } from 'zod';
import { resource } from '../resource.ts';
import {
  CrashCollector,
  Dashboard,
  HealthCheck,
  LogCollector,
  Mgr,
  Mon,
  Monitoring,
} from './cluster-daemons.ts';
import { Csi, Network, Security } from './cluster-network.ts';
import { ClusterStatus, type CephClusterStatus } from './cluster-status.ts';
import { Storage } from './cluster-storage.ts';
import type { CustomKind } from './custom-kind.ts';
import { placementByDaemon } from './placement.ts';
import { resourcesByDaemon } from './pod-parts.ts';
import { cel, choice, flag, int, nullableObject, openMap, openObject, text } from './schema.ts';

/** Host folders that Ceph's containers use themselves; data there would be hidden or mixed up. */
export const forbiddenDataDirs = ['/etc/ceph', '/rook', '/var/log/ceph'] as const;

const configValues = z.record(z.string(), z.string());
const secretKey = z
  .looseObject({
    key: z.string().describe('The key in the Secret.'),
    name: z.string().optional().describe('The Secret.').meta({ default: '' }),
    optional: flag('No error where it is absent.'),
  })
  .meta({ 'x-kubernetes-map-type': 'atomic' });

const cleanupPolicy = nullableObject(
  {
    allowUninstallWithVolumes: flag('Delete the cluster though volumes are in it.'),
    confirmation: z
      .string()
      .regex(/^$|^yes-really-destroy-data$/)
      .nullish()
      .describe('yes-really-destroy-data wipes hosts and disks once the cluster is deleted.'),
    sanitizeDisks: nullableObject(
      {
        dataSource: choice(['zero', 'random'], 'What disks are overwritten with.'),
        iteration: int('How many times.', { format: 'int32' }),
        method: choice(['complete', 'quick'], 'The whole disk, or its metadata.'),
      },
      'How disks are wiped.',
    ),
    wipeDevicesFromOtherClusters: flag('Wipe disks of other Ceph clusters before use. Data is lost.'),
  },
  'What happens to the data when the cluster is deleted.',
);

const disruptionManagement = nullableObject(
  {
    machineDisruptionBudgetNamespace: text('No longer used.'),
    manageMachineDisruptionBudgets: flag('No longer used.'),
    managePodBudgets: flag('Keep PodDisruptionBudgets for the daemons.'),
    osdMaintenanceTimeout: int('Minutes that a drained domain is not marked out.', { format: 'int64' }),
    pgHealthCheckTimeout: int('No longer used.', { format: 'int64' }),
    pgHealthyRegex: text('PG states that count as healthy.'),
  },
  'How drains are guarded.',
);

export const CephClusterSpec = z
  .looseObject({
    annotations: openMap(configValues, 'Annotations of pods, keyed by daemon type.'),
    cephConfig: z
      .record(z.string(), configValues)
      .nullish()
      .describe('Ceph settings by section: global, mon, osd, osd.0, ... Values are strings.'),
    cephConfigFromSecret: z
      .record(z.string(), z.record(z.string(), secretKey))
      .nullish()
      .describe('The same, with values from Secrets.'),
    cephVersion: nullableObject(
      {
        allowUnsupported: flag('Run a Ceph version that is not tested.'),
        image: text('The image of the daemons, such as quay.io/ceph/ceph:v16.2.15.'),
        imagePullPolicy: choice(['IfNotPresent', 'Always', 'Never', ''], 'When the image is pulled.'),
      },
      'Which Ceph runs.',
    ),
    cleanupPolicy,
    continueUpgradeAfterChecksEvenIfNotHealthy: flag('Go on with an upgrade while PGs are not clean.'),
    crashCollector: CrashCollector,
    csi: Csi,
    dashboard: Dashboard,
    dataDirHostPath: z
      .string()
      .regex(/^\/(\S+)/)
      .optional()
      .describe('The host folder of mons’ data and logs. Cannot be changed later.')
      .meta({
        // Beside the rule below: for API servers that do not evaluate CEL.
        not: { pattern: `^(${forbiddenDataDirs.join('|')})(/|$)` },
        ...cel(
          { rule: 'self == oldSelf', message: 'dataDirHostPath is immutable: the mons’ data lives there' },
          {
            rule: `!(self in [${forbiddenDataDirs.map((dir) => `'${dir}', '${dir}/'`).join(', ')}])`,
            message: `dataDirHostPath must not be ${forbiddenDataDirs.join(', ')}: use a folder of its own, such as /var/lib/rook`,
          },
        ),
      }),
    disruptionManagement,
    external: openObject(
      { enable: flag('The Ceph cluster is run elsewhere; only use it.') },
      'A cluster that is run elsewhere.',
    ),
    healthCheck: HealthCheck,
    labels: openMap(configValues, 'Labels of pods, keyed by daemon type.'),
    logCollector: LogCollector,
    mgr: Mgr,
    mon: Mon,
    monitoring: Monitoring,
    network: Network,
    placement: placementByDaemon,
    priorityClassNames: openMap(z.string(), 'Priority classes, keyed by daemon type.'),
    removeOSDsIfOutAndSafeToRemove: flag('Remove OSDs that are out and safe to destroy.'),
    resources: resourcesByDaemon,
    security: Security,
    skipUpgradeChecks: flag('Upgrade without asking whether daemons are ok to stop.'),
    storage: Storage,
    upgradeOSDRequiresHealthyPGs: flag('Upgrade OSDs only while PGs are clean.'),
    waitTimeoutForHealthyOSDInMinutes: int('Minutes to wait until an OSD is ok to stop.', {
      format: 'int64',
    }),
  })
  .describe('What is wanted.');

export type CephClusterSpec = z.infer<typeof CephClusterSpec>;

export interface CephCluster {
  apiVersion?: string;
  kind?: string;
  metadata?: ObjectMeta;
  spec: CephClusterSpec;
  status?: CephClusterStatus;
}

export const CephClusters = resource<CephCluster>('ceph.rook.io', 'v1', 'CephCluster', 'cephclusters');

/** The CRD of CephCluster, named and shown as Rook's. */
export const cephClusterKind: CustomKind = {
  resource: CephClusters,
  shortNames: ['ceph'],
  about: 'A Ceph cluster: its monitors, managers and disks.',
  spec: CephClusterSpec,
  status: ClusterStatus,
  columns: [
    {
      name: 'DataDirHostPath',
      type: 'string',
      jsonPath: '.spec.dataDirHostPath',
      description: 'Host folder of the data',
    },
    { name: 'MonCount', type: 'string', jsonPath: '.spec.mon.count', description: 'Number of mons' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
    { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
    { name: 'Message', type: 'string', jsonPath: '.status.message', description: 'What happens now' },
    { name: 'Health', type: 'string', jsonPath: '.status.ceph.health', description: 'Ceph’s health' },
    { name: 'External', type: 'boolean', jsonPath: '.spec.external.enable' },
    { name: 'FSID', type: 'string', jsonPath: '.status.ceph.fsid', description: 'The cluster’s own id' },
  ],
};
