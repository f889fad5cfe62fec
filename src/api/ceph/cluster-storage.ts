import { z } from 'zod';
import { openPlacement } from './placement.ts';
import { claimTemplates, openResources } from './pod-parts.ts';
import { choice, flag, int, nullableObject, object, openMap, ratio, text } from './schema.ts';

/**
 * Settings of one OSD, node or cluster: sizes are whole numbers of MiB, written as strings. No setting is a
 * negative number. (A CEL rule here would be over the API server's cost limit: the map has no bound.)
 */
const storeConfig = openMap(
  z.string().meta({ not: { pattern: '^-[0-9]' } }),
  'OSD settings as strings: deviceClass, osdsPerDevice, encryptedDevice, metadataDevice, databaseSizeMB, walSizeMB.',
);

const devices = z
  .array(
    z.looseObject({
      config: storeConfig,
      fullpath: text('A stable path, such as /dev/disk/by-id/...'),
      name: text('A name below /dev, or a path. Prefer fullpath: names change over reboots.'),
    }),
  )
  .nullish()
  .describe('The devices to use, by name.')
  .meta({ 'x-kubernetes-preserve-unknown-fields': true });

const selection = {
  config: storeConfig,
  deviceFilter: text('A regular expression on kernel names (sda, nvme0n1).'),
  devicePathFilter: text('A regular expression on paths, links below /dev/disk included.'),
  devices,
  useAllDevices: flag('Take every device that is empty and fits.'),
};

const nodes = z
  .array(
    z.looseObject({
      ...selection,
      name: text('The value of the node label kubernetes.io/hostname.'),
      resources: openResources('CPU and memory of this node’s OSDs.'),
      volumeClaimTemplates: claimTemplates('Volumes to use in place of devices.').optional(),
    }),
  )
  .nullish()
  .describe('Nodes with settings of their own; only these where useAllNodes is false.');

const deviceSets = z
  .array(
    z.looseObject({
      config: storeConfig,
      count: z.int().min(1).describe('How many OSDs.'),
      encrypted: flag('Encrypt with dm-crypt.'),
      name: z.string().describe('The name of the set.'),
      placement: openPlacement('Where the OSDs may run.'),
      portable: flag('The volumes can move between nodes.'),
      preparePlacement: openPlacement('Where the prepare jobs may run.'),
      resources: openResources('CPU and memory of the OSDs.'),
      schedulerName: text('The scheduler of the OSD pods.'),
      tuneDeviceClass: flag('Tune the OSDs for a slow class.'),
      tuneFastDeviceClass: flag('Tune the OSDs for a fast class.'),
      volumeClaimTemplates: claimTemplates('The volumes: data, and optionally metadata and wal.'),
    }),
  )
  .nullish()
  .describe('OSDs on volumes from a StorageClass.');

/** Which devices of which nodes become OSDs. */
export const Storage = nullableObject(
  {
    ...selection,
    allowDeviceClassUpdate: flag('Let a changed deviceClass be set on existing OSDs.'),
    allowOsdCrushWeightUpdate: flag('Let the CRUSH weight follow a grown device.'),
    backfillFullRatio: ratio('Fullness at which no PG moves in.'),
    flappingRestartIntervalHours: int('Hours before an OSD that ended by flapping is started again.'),
    fullRatio: ratio('Fullness at which writes are refused.'),
    migration: object(
      {
        confirmation: z
          .string()
          .regex(/^$|^yes-really-migrate-osds$/)
          .optional()
          .describe('Confirms that OSDs are remade.'),
      },
      'Remakes OSDs whose settings changed.',
    ),
    nearFullRatio: ratio('Fullness at which health warns.'),
    nodes,
    onlyApplyOSDPlacement: flag('Use only placement.osd for OSDs on volumes.'),
    osdMaxUpdatesInParallel: int('OSDs updated at once.', { min: 1, format: 'int32' }),
    scheduleAlways: flag('Prepare unschedulable nodes too.'),
    storageClassDeviceSets: deviceSets,
    store: object(
      {
        type: choice(['bluestore', 'bluestore-rdr'], 'The store of new OSDs.'),
        updateStore: z
          .string()
          .regex(/^$|^yes-really-update-store$/)
          .optional()
          .describe('Confirms that OSDs are remade with another store.'),
      },
      'The backend of OSDs.',
    ),
    useAllNodes: flag('Take every schedulable node.'),
    volumeClaimTemplates: claimTemplates('Volumes to use in place of devices.').optional(),
  },
  'Which devices of which nodes become OSDs.',
);

export type StorageSpec = NonNullable<z.infer<typeof Storage>>;
export type StorageSelection = Pick<
  StorageSpec,
  'config' | 'deviceFilter' | 'devicePathFilter' | 'devices' | 'useAllDevices'
>;
