import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import type { OpenInstance } from '../instance.ts';
import { layout } from '../layout.ts';
import type { NodeSpec } from '../machine/virtual-node.ts';
import { planOf } from '../plan.ts';
import type { InstancePki } from '../pki.ts';
import { etcdUnit } from './etcd.ts';
import { fabricUnit, nodeUnits, type FindProcess } from './node-units.ts';
import { releaseFiles, serverUnit } from './server-unit.ts';
import type { Unit } from './unit.ts';

/** What `up` decided and the supervisor starts from. */
export interface SupervisorConfig {
  readonly dataDir: string;
  readonly tree: { readonly path: string; readonly hash: string };
  readonly release: string;
  readonly pki: InstancePki;
}

/** Every node of the instance as the machine layer takes it. */
export function nodeSpecs(
  { dataDir, config }: OpenInstance,
  { tree, release }: Pick<SupervisorConfig, 'tree' | 'release'>,
): NodeSpec[] {
  const plan = planOf(config);
  const places = layout(dataDir);
  return plan.nodes.map((node) => ({
    ...node,
    instanceId: config.id,
    tree: tree.path,
    folder: join(places.nodes, node.name),
    releases: places.releases,
    scripts: join(places.releases, release, 'machine'),
    prefixLength: plan.prefixLength,
    gateway: plan.hostIp,
    serviceCidr: config.serviceCidr,
    peers: plan.nodes.filter((other) => other.name !== node.name).map(({ podCidr, ip }) => ({ podCidr, ip })),
  }));
}

/** The instance's processes, in the order they start in. */
export function instanceUnits(
  instance: OpenInstance,
  config: SupervisorConfig,
  clock: Clock,
  processOf: FindProcess,
): Unit[] {
  const { dataDir } = instance;
  const { tree, release, pki } = config;
  const places = layout(dataDir);
  const plan = planOf(instance.config);
  const files = releaseFiles(places.releases, release);
  const log = (name: string) => join(places.logs, `${name}.log`);
  return [
    etcdUnit({
      tree: tree.path,
      treeHash: tree.hash,
      dataDir: places.etcd,
      logFile: log('etcd'),
      port: instance.config.etcdPort,
      peerPort: instance.config.etcdPeerPort,
      pki,
      clock,
    }),
    fabricUnit(
      {
        tree: tree.path,
        instanceId: instance.config.id,
        hostIp: plan.hostIp,
        prefixLength: plan.prefixLength,
        logFile: log('fabric'),
      },
      tree.hash,
      clock,
    ),
    serverUnit({
      ...files,
      release,
      configFile: places.serverConfig,
      logFile: log('server'),
      host: '127.0.0.1',
      port: instance.config.apiPort,
      caFile: pki.caCert,
      clock,
    }),
    ...nodeSpecs(instance, config).flatMap((spec) =>
      nodeUnits({ spec, treeHash: tree.hash, release, clock, processOf }),
    ),
  ];
}
