import { z } from 'zod';
import { cel, choice, flag, int, list, nullableObject, object, openMap, openObject, text } from './schema.ts';

const ranges = (about: string) => list(z.string().regex(/^[0-9a-fA-F:.]{2,}\/[0-9]{1,3}$/), about);
const enabled = (about: string) => nullableObject({ enabled: flag('Whether it is on.') }, about);

export const Network = openObject(
  {
    addressRanges: nullableObject(
      { cluster: ranges('Networks of replication.'), public: ranges('Networks of clients.') },
      'Networks in CIDR form.',
    ),
    connections: nullableObject(
      {
        compression: enabled('Compress on the wire.'),
        encryption: enabled('Encrypt on the wire.'),
        requireMsgr2: flag('Only msgr2, on port 3300.'),
      },
      'How daemons and clients speak.',
    ),
    dualStack: flag('IPv4 and IPv6 at once.'),
    hostNetwork: flag('The older way to say provider host.'),
    ipFamily: z.enum(['IPv4', 'IPv6']).nullish().describe('The address family.'),
    multiClusterService: object(
      { clusterID: text('This cluster’s name among the others.'), enabled: flag('Whether it is on.') },
      'Services that reach over Kubernetes clusters.',
    ),
    provider: z
      .enum(['', 'host', 'multus'])
      .nullish()
      .describe('Empty for the pod network, host or multus.')
      .meta(
        cel({
          rule: "self == '' || oldSelf == '' || self == oldSelf",
          message: 'network.provider must be set back to empty before another one is set',
        }),
      ),
    selectors: z.record(z.string(), z.string()).nullish().describe('Networks of multus: public, cluster.'),
  },
  'The network of the daemons.',
).meta({
  'x-kubernetes-preserve-unknown-fields': true,
  ...cel(
    {
      rule: "!has(self.provider) || self.provider != 'multus' || (has(self.selectors) && size(self.selectors) > 0)",
      message: 'network.selectors must name a network where the provider is multus',
    },
    {
      rule: "!has(self.hostNetwork) || !self.hostNetwork || !has(self.provider) || self.provider == ''",
      message: 'network.hostNetwork can only be set where network.provider is empty',
    },
  ),
});

const keptKeys = cel({
  rule: '!has(oldSelf.keyGeneration) || has(self.keyGeneration)',
  message: 'keyGeneration cannot be removed once it is set',
});
const rotation = {
  keyGeneration: int('Rotate until this generation.', { min: 0, max: 4294967295, format: 'int64' }).meta(
    cel({ rule: 'self >= oldSelf', message: 'keyGeneration cannot be lowered' }),
  ),
  keyRotationPolicy: choice(['', 'Disabled', 'KeyGeneration'], 'Whether keys are rotated.'),
  keyType: choice(['aes', 'aes256k'], 'The cipher of new keys.').meta({ minLength: 3, maxLength: 7 }),
};

export const Security = nullableObject(
  {
    cephx: object(
      {
        allowedCiphers: z
          .array(z.enum(['aes', 'aes256k']).meta({ minLength: 3, maxLength: 7 }))
          .min(1)
          .max(2)
          .optional()
          .describe('Ciphers that daemons accept.')
          .meta({ 'x-kubernetes-list-type': 'set' }),
        csi: object(
          { ...rotation, keepPriorKeyCountMax: int('Older keys that stay valid.', { min: 0, max: 10 }) },
          'Keys of CSI.',
        ).meta(keptKeys),
        daemon: object(rotation, 'Keys of daemons.').meta(keptKeys),
        rbdMirrorPeer: object(rotation, 'Keys of mirroring peers.').meta(keptKeys),
      },
      'Ceph’s own keys.',
    ),
    keyRotation: nullableObject(
      { enabled: flag('Whether it is on.').meta({ default: false }), schedule: text('A cron schedule.') },
      'Rotation of encryption keys.',
    ),
    kms: nullableObject(
      {
        connectionDetails: openMap(z.string(), 'How to reach it.'),
        tokenSecretName: text('The Secret with its token.'),
      },
      'The key management service.',
    ),
  },
  'Keys and encryption.',
);

export const Csi = object(
  {
    cephfs: object(
      {
        fuseMountOptions: text('Mount options of ceph-fuse.'),
        kernelMountOptions: text('Mount options of the kernel.'),
      },
      'CephFS volumes.',
    ),
    readAffinity: object(
      {
        crushLocationLabels: list(z.string(), 'Node labels that say where a client is.'),
        enabled: flag('Read from the nearest copy.'),
      },
      'Reads from near copies.',
    ),
    skipUserCreation: flag('Do not make the cephx users of CSI.'),
  },
  'Settings of CSI.',
);
