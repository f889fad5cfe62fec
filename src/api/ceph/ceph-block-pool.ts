import type { ObjectMeta } from 'kubernetes-types/meta/v1.js';
import { z } from 'zod';
import { resource } from '../resource.ts';
import type { CustomKind } from './custom-kind.ts';
import {
  cel,
  choice,
  flag,
  int,
  list,
  nullableObject,
  object,
  openMap,
  quantityPattern,
  text,
} from './schema.ts';
import { cephxKey, checked, conditions } from './status-parts.ts';

const erasureCoded = object(
  {
    algorithm: choice(['isa', 'jerasure'], 'The erasure code plugin.'),
    codingChunks: z.int().min(0).describe('Chunks that may be lost.'),
    crushNumFailureDomains: int('Failure domains that chunks are spread over.', { format: 'int32', min: 1 }),
    crushOSDsPerFailureDomain: int('Chunks in each of them.', { format: 'int32', min: 1 }),
    dataChunks: z.int().min(0).describe('Chunks that an object is cut into.'),
    stripeUnit: z
      .union([z.int(), z.string()])
      .optional()
      .describe('Bytes of a stripe in each chunk.')
      .meta({
        'x-kubernetes-int-or-string': true,
        enum: ['4Ki', '16Ki', '64Ki', '256Ki', '1Mi'],
        pattern: quantityPattern,
      }),
  },
  'Store by erasure code in place of copies.',
).meta(
  cel({
    rule: 'has(self.crushNumFailureDomains) == has(self.crushOSDsPerFailureDomain)',
    message: 'crushNumFailureDomains and crushOSDsPerFailureDomain go together',
  }),
);

const mirroring = object(
  {
    enabled: flag('Whether the pool is mirrored.'),
    mode: choice(['pool', 'image', 'init-only'], 'What is mirrored.'),
    peers: nullableObject(
      { secretNames: list(z.string(), 'Secrets with bootstrap tokens.') },
      'The other side.',
    ),
    snapshotSchedules: list(
      z.looseObject({
        interval: text('How often, such as 1h.'),
        path: text('Which images.'),
        startTime: text('From when on.'),
      }),
      'When mirror snapshots are taken.',
    ),
  },
  'Mirroring to another cluster.',
);

const replicated = object(
  {
    hybridStorage: nullableObject(
      {
        primaryDeviceClass: z.string().min(1).describe('The class of the first copy.'),
        secondaryDeviceClass: z.string().min(1).describe('The class of the others.'),
      },
      'First copies on one device class, the others on another.',
    ),
    replicasPerFailureDomain: int('Copies in each failure domain.', { min: 1 }),
    requireSafeReplicaSize: flag('Refuse size 1. True where it is not said.'),
    size: z.int().min(0).describe('How many copies.'),
    subFailureDomain: text('The failure domain of copies inside one domain.'),
    targetSizeRatio: z.number().min(0).optional().describe('The share of the cluster this pool will take.'),
  },
  'Store whole copies.',
);

export const CephBlockPoolSpec = z
  .looseObject({
    application: text('The application tag; rbd where it is not said.'),
    compressionMode: z
      .enum(['none', 'passive', 'aggressive', 'force', ''])
      .nullish()
      .describe('When data is compressed.'),
    crushRoot: z.string().nullish().describe('The CRUSH root; default where it is not said.'),
    deviceClass: z.string().nullish().describe('Use only OSDs of this class.'),
    enableCrushUpdates: z.boolean().nullish().describe('Let failureDomain and deviceClass be changed later.'),
    enableRBDStats: flag('Count reads and writes of each image.'),
    erasureCoded,
    failureDomain: text('What copies are kept apart by: osd, host, rack, zone; host where it is not said.'),
    mirroring,
    name: choice(
      ['.rgw.root', '.nfs', '.mgr', '.nvmeof'],
      'One of Ceph’s own pools, in place of metadata.name.',
    ),
    parameters: openMap(z.string(), 'Pool settings, such as pg_num or compression_algorithm.'),
    quotas: nullableObject(
      {
        maxBytes: int('Bytes; maxSize goes before it.', { format: 'int64' }),
        maxObjects: int('Objects.', { format: 'int64' }),
        maxSize: z
          .string()
          .regex(/^[0-9]+[.]?[0-9]*([KMGTPE]i|[kMGTPE])?$/)
          .optional()
          .describe('A size such as 10Gi; 0 for none.'),
      },
      'How much the pool may hold.',
    ),
    replicated,
    statusCheck: object(
      {
        mirror: nullableObject(
          { disabled: flag('Switches it off.'), interval: text('How often.'), timeout: text('How long.') },
          'Mirroring.',
        ),
      },
      'How the pool is watched.',
    ).meta({ 'x-kubernetes-preserve-unknown-fields': true }),
  })
  .describe('What is wanted.');

export type CephBlockPoolSpec = z.infer<typeof CephBlockPoolSpec>;

const states = nullableObject(
  {
    error: int('Failed.'),
    replaying: int('Running.'),
    starting_replay: int('Starting.'),
    stopped: int('Stopped.'),
    stopping_replay: int('Stopping.'),
    syncing: int('Copying.'),
    unknown: int('Unknown.'),
  },
  'How many are in which state.',
);

const BlockPoolStatus = z
  .looseObject({
    cephx: object({ peerToken: cephxKey('The token of mirroring peers.') }, 'Generations of keys.'),
    conditions,
    info: z
      .record(z.string(), z.string())
      .nullish()
      .describe('What clients may want to know: type, failureDomain.'),
    message: text('What happens now.'),
    mirroringInfo: object(
      {
        ...checked,
        mode: text('Its mode.'),
        peers: list(
          z.looseObject({
            client_name: text('The user there.'),
            direction: text('Which way.'),
            mirror_uuid: text('Its mirror id.'),
            site_name: text('Its site.'),
            uuid: text('Its id.'),
          }),
          'The peers.',
        ),
        site_name: text('This site.'),
      },
      'How the pool is mirrored.',
    ),
    mirroringStatus: object(
      {
        ...checked,
        summary: object(
          {
            daemon_health: text('Health of the daemons.'),
            group_health: z.string().nullish().describe('Health of the groups.'),
            group_states: states,
            health: text('Health in all.'),
            image_health: text('Health of the images.'),
            image_states: states,
            states,
          },
          'In short.',
        ),
      },
      'How mirroring goes.',
    ),
    observedGeneration: int('The generation that the status speaks of.', { format: 'int64' }),
    phase: text('Progressing, Ready, Deleting or Failure.'),
    poolID: int('Ceph’s number of the pool.'),
    snapshotScheduleStatus: object(
      {
        ...checked,
        snapshotSchedules: z
          .array(
            z.looseObject({
              image: text('The image.'),
              items: list(
                z.looseObject({ interval: text('How often.'), start_time: text('From when on.') }),
                'Its schedules.',
              ),
              namespace: text('Its RADOS namespace.'),
              pool: text('Its pool.'),
            }),
          )
          .nullish()
          .describe('The schedules.'),
      },
      'Mirror snapshots.',
    ),
  })
  .optional()
  .describe('What is.')
  .meta({ 'x-kubernetes-preserve-unknown-fields': true });

export type CephBlockPoolStatus = NonNullable<z.infer<typeof BlockPoolStatus>>;

export interface CephBlockPool {
  apiVersion?: string;
  kind?: string;
  metadata?: ObjectMeta;
  spec: CephBlockPoolSpec;
  status?: CephBlockPoolStatus;
}

export const CephBlockPools = resource<CephBlockPool>(
  'ceph.rook.io',
  'v1',
  'CephBlockPool',
  'cephblockpools',
);

/** Ceph's name of it. Ceph’s own pools have names that Kubernetes does not allow; the spec says them. */
export const poolName = (pool: Pick<CephBlockPool, 'metadata' | 'spec'>): string =>
  pool.spec.name || (pool.metadata?.name ?? '');

/** The CRD of CephBlockPool, named and shown as Rook's. */
export const cephBlockPoolKind: CustomKind = {
  resource: CephBlockPools,
  shortNames: ['cephbp'],
  about: 'A pool of RBD images.',
  spec: CephBlockPoolSpec,
  status: BlockPoolStatus,
  columns: [
    { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
    { name: 'Type', type: 'string', jsonPath: '.status.info.type' },
    { name: 'FailureDomain', type: 'string', jsonPath: '.status.info.failureDomain' },
    { name: 'Replication', type: 'integer', jsonPath: '.spec.replicated.size', priority: 1 },
    { name: 'EC-CodingChunks', type: 'integer', jsonPath: '.spec.erasureCoded.codingChunks', priority: 1 },
    { name: 'EC-DataChunks', type: 'integer', jsonPath: '.spec.erasureCoded.dataChunks', priority: 1 },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
};
