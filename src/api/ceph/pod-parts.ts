import { z } from 'zod';
import { labelSelector } from './placement.ts';
import { amount, atomicList, flag, int, list, map, object, openMap, openObject, text } from './schema.ts';

const amounts = (about: string) => map(amount, about);

const resourcesShape = {
  claims: list(
    z.looseObject({ name: z.string().describe('A claim of the pod.'), request: text('One request in it.') }),
    'Dynamic resource claims.',
  ).meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] }),
  limits: amounts('The most a container may use: cpu, memory.'),
  requests: amounts('What a container is promised: cpu, memory.'),
};

export const openResources = (about: string) => openObject(resourcesShape, about);
export const Resources = z.looseObject(resourcesShape);
export type Resources = z.infer<typeof Resources>;

/** Resources keyed by daemon type. */
export const resourcesByDaemon = openMap(
  Resources,
  'CPU and memory, keyed by mon, mgr, osd, osd-<device class>, prepareosd, cleanup, crashcollector.',
);

const port = z
  .union([z.int(), z.string()])
  .describe('A port by number or name.')
  .meta({ 'x-kubernetes-int-or-string': true });
const seconds = (about: string) => int(about, { format: 'int32' });

const probe = object(
  {
    exec: object(
      { command: atomicList(z.string(), 'The command and its arguments; no shell.') },
      'Runs a command.',
    ),
    failureThreshold: seconds('Failures in a row that count as failed.'),
    grpc: object(
      {
        port: z.int().describe('The port.').meta({ format: 'int32' }),
        service: z.string().optional().describe('The service asked for.').meta({ default: '' }),
      },
      'Asks the gRPC health service.',
    ),
    httpGet: object(
      {
        host: text('The host; the pod itself where empty.'),
        httpHeaders: atomicList(
          z.looseObject({ name: z.string().describe('Name.'), value: z.string().describe('Value.') }),
          'Headers to send.',
        ),
        path: text('The path.'),
        port,
        scheme: text('HTTP or HTTPS.'),
      },
      'Sends an HTTP GET.',
    ),
    initialDelaySeconds: seconds('Seconds before the first look.'),
    periodSeconds: seconds('Seconds between looks.'),
    successThreshold: seconds('Successes in a row that count as healed.'),
    tcpSocket: object({ host: text('The host; the pod itself where empty.'), port }, 'Opens a connection.'),
    terminationGracePeriodSeconds: int('Seconds a failed pod has to end.', { format: 'int64' }),
    timeoutSeconds: seconds('Seconds a look may take.'),
  },
  'The probe, in place of the built-in one.',
);

/** Probes keyed by daemon type. */
export const probesByDaemon = (about: string) =>
  map(z.looseObject({ disabled: flag('Switches the probe off.'), probe }), about);

const dataSource = {
  apiGroup: text('The API group of the source.'),
  kind: z.string().describe('The kind of the source.'),
  name: z.string().describe('The name of the source.'),
};

const claimShape = {
  metadata: object(
    {
      annotations: map(z.string(), 'Annotations of the claim.'),
      finalizers: list(z.string(), 'Finalizers of the claim.'),
      labels: map(z.string(), 'Labels of the claim.'),
      name: text('The name: data, metadata or wal.'),
      namespace: text('The namespace.'),
    },
    'Metadata of the claim.',
  ),
  spec: object(
    {
      accessModes: atomicList(z.string(), 'ReadWriteOnce and so on.'),
      dataSource: object(dataSource, 'What the volume is filled from.').meta({
        'x-kubernetes-map-type': 'atomic',
      }),
      dataSourceRef: object(
        { ...dataSource, namespace: text('The namespace of the source.') },
        'What the volume is filled from, of any kind.',
      ),
      resources: object(
        { limits: amounts('The largest size.'), requests: amounts('The size: storage.') },
        'The size.',
      ),
      selector: labelSelector('Which volumes fit.'),
      storageClassName: text('The StorageClass.'),
      volumeAttributesClassName: text('The VolumeAttributesClass.'),
      volumeMode: text('Filesystem or Block.'),
      volumeName: text('One particular volume.'),
    },
    'What the claim asks for.',
  ),
};

/** A PersistentVolumeClaim that the operator makes daemons' volumes from. */
export const claimTemplate = (about: string) =>
  z.looseObject(claimShape).optional().describe(about).meta({ 'x-kubernetes-preserve-unknown-fields': true });
/** The same, as an item of a list. */
export const claimTemplates = (about: string) =>
  z.array(z.looseObject(claimShape).meta({ 'x-kubernetes-preserve-unknown-fields': true })).describe(about);
