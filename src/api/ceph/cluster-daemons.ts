import { z } from 'zod';
import { claimTemplate, probesByDaemon } from './pod-parts.ts';
import { cel, choice, flag, int, list, map, nullableObject, object, quantity, text } from './schema.ts';

const monZone = z.looseObject({
  arbiter: flag('This zone holds only the tie-breaking mon.'),
  name: text('The value of the failure domain’s node label.'),
  volumeClaimTemplate: claimTemplate('The volume of this zone’s mons.'),
});

export const Mon = nullableObject(
  {
    allowMultiplePerNode: flag('Let two mons share a node. For tests: losing the node loses both.'),
    count: z
      .int()
      .min(0)
      .max(9)
      .optional()
      .describe('How many mons, 1 to 9; odd numbers keep quorum best. 0 only with external.enable.'),
    externalMonIDs: list(z.string(), 'Mons that are run elsewhere.'),
    failureDomainLabel: text('The node label that mons are spread over.'),
    floatingMon: object(
      {
        configmapName: z.string().min(1).max(253).describe('The ConfigMap that says where it runs.'),
        name: z
          .string()
          .regex(/^[a-z]$/)
          .min(1)
          .max(1)
          .describe('Its letter.'),
      },
      'A mon that moves between two nodes.',
    ).meta({ minProperties: 2 }),
    stretchCluster: object(
      {
        failureDomainLabel: text('The node label of the zones.'),
        subFailureDomain: text('The failure domain inside a zone.'),
        zones: z.array(monZone).nullish().describe('Exactly three, one of them the arbiter.'),
      },
      'Two data zones and an arbiter.',
    ),
    volumeClaimTemplate: claimTemplate('The volume of each mon, in place of dataDirHostPath.'),
    zones: list(monZone, 'The zones that mons are spread over.'),
  },
  'The monitors.',
).meta(
  cel(
    {
      rule: '!has(self.zones) || size(self.zones) <= self.count',
      message: 'zones must not be more than count',
    },
    {
      rule: '!has(self.stretchCluster) || size(self.stretchCluster.zones) == 3',
      message: 'stretchCluster.zones must be exactly three',
    },
  ),
);

export const Mgr = nullableObject(
  {
    allowMultiplePerNode: flag('Let two mgrs share a node.'),
    count: int('How many mgrs: one active, the others stand by.', { min: 0, max: 5 }),
    hostNetwork: z.boolean().optional().describe('Run the mgr in the node’s network.'),
    modules: z
      .array(
        z.looseObject({
          enabled: flag('Whether it is on.'),
          name: text('The module.'),
          settings: object(
            {
              balancerMode: choice(
                ['', 'crush-compat', 'upmap', 'read', 'upmap-read'],
                'How the balancer works.',
              ),
            },
            'Settings of the module.',
          ),
        }),
      )
      .nullish()
      .describe('Modules to switch on or off.'),
  },
  'The managers.',
);

const healthCheck = (what: string) =>
  nullableObject(
    {
      disabled: flag('Switches the check off.'),
      interval: text('How often to look, such as 45s.'),
      timeout: text('How long a failure may last before something is done about it.'),
    },
    what,
  );

export const HealthCheck = nullableObject(
  {
    daemonHealth: nullableObject(
      {
        mon: healthCheck('The mons.'),
        osd: healthCheck('The OSDs.'),
        status: healthCheck('The cluster’s health.'),
      },
      'Checks that the operator runs.',
    ),
    livenessProbe: probesByDaemon('Liveness probes, keyed by mon, mgr, osd.'),
    muteHealthWarning: map(
      z.looseObject({ policy: z.enum(['mute', 'unmute']).describe('mute or unmute.') }),
      'Health codes to mute, such as POOL_NO_REDUNDANCY.',
    ).meta({
      minProperties: 0,
      maxProperties: 10,
      ...cel({
        rule: "self.all(k, k.matches('^[A-Z]+(_[A-Z]+)+$'))",
        message: 'keys must be Ceph health codes, such as POOL_NO_REDUNDANCY',
      }),
    }),
    startupProbe: probesByDaemon('Startup probes, keyed by mon, mgr, osd.'),
  },
  'How health is watched.',
);

export const Dashboard = nullableObject(
  {
    enabled: flag('Whether the dashboard runs.'),
    port: int('Its port.', { min: 0, max: 65535 }),
    prometheusEndpoint: text('Where it finds Prometheus.'),
    prometheusEndpointSSLVerify: flag('Check the certificate of Prometheus.'),
    ssl: flag('Serve HTTPS.'),
    urlPrefix: text('A path prefix behind a reverse proxy.'),
  },
  'Ceph’s dashboard.',
);

const objectReference = object(
  {
    apiVersion: text('API version.'),
    fieldPath: text('A part of the object.'),
    kind: text('Kind.'),
    name: text('Name.'),
    namespace: text('Namespace.'),
    resourceVersion: text('Version.'),
    uid: text('UID.'),
  },
  'The object behind the address.',
).meta({ 'x-kubernetes-map-type': 'atomic' });

export const Monitoring = nullableObject(
  {
    enabled: flag('Make the objects that Prometheus scrapes by.'),
    exporter: object(
      {
        hostNetwork: z.boolean().nullish().describe('Run it in the node’s network.'),
        perfCountersPrioLimit: int('Only counters of at least this priority.', {
          format: 'int64',
          default: 5,
        }),
        port: int('Its port.', { format: 'int32', min: 1, max: 65535 }),
        statsPeriodSeconds: int('Seconds between readings.', { format: 'int64', default: 5 }),
      },
      'The exporter of daemons’ counters.',
    ),
    externalMgrEndpoints: z
      .array(
        z
          .looseObject({
            hostname: text('Host name.'),
            ip: z.string().describe('Address.'),
            nodeName: text('Node.'),
            targetRef: objectReference,
          })
          .meta({ 'x-kubernetes-map-type': 'atomic' }),
      )
      .nullish()
      .describe('The mgrs of an external cluster.'),
    externalMgrPrometheusPort: int('The port of their prometheus module.', { min: 0, max: 65535 }),
    interval: text('How often Prometheus scrapes.'),
    metricsDisabled: flag('Switches the metrics off.'),
    port: int('The port of the metrics.', { min: 0, max: 65535 }),
  },
  'Metrics.',
);

export const LogCollector = nullableObject(
  {
    enabled: flag('Rotate logs on the nodes.'),
    maxLogSize: quantity('Rotate at this size.'),
    periodicity: z
      .string()
      .regex(/^$|^(hourly|daily|weekly|monthly|1h|24h|1d)$/)
      .optional()
      .describe('Rotate this often.'),
  },
  'Daemons’ logs on the nodes.',
);

export const CrashCollector = nullableObject(
  { daysToRetain: int('Days that reports are kept.'), disable: flag('Switches it off.') },
  'Crash reports.',
);
