import type { CephClusterSpec } from '../../api/ceph/ceph-cluster.ts';
import { forbiddenDataDirs } from '../../api/ceph/ceph-cluster.ts';
import type { StorageSelection } from '../../api/ceph/cluster-storage.ts';
import { parseQuantity } from '../../lib/quantity.ts';
import { isVersionSupported, supportedVersions, versionInImageName } from './ceph-version.ts';
import type { Problem } from './work.ts';

const wholeSettings = ['databaseSizeMB', 'walSizeMB', 'journalSizeMB', 'osdsPerDevice'];

/** Everything that is wrong with a spec, at once. What the API refused already is checked again: it may be older. */
export function validateCluster(spec: CephClusterSpec): Problem[] {
  const problems: Problem[] = [];
  const wrong = (field: string, message: string) => problems.push({ field: `spec.${field}`, message });
  const external = spec.external?.enable === true;

  const count = spec.mon?.count;
  if (!external && count !== undefined && (count < 1 || count > 9))
    wrong('mon.count', `is ${count}, but must be 1 to 9; 3 fits most clusters`);
  if (spec.mon?.stretchCluster && spec.mon.stretchCluster.zones?.length !== 3)
    wrong('mon.stretchCluster.zones', 'must be exactly three, one of them with arbiter: true');
  const mgrs = spec.mgr?.count;
  if (mgrs !== undefined && (mgrs < 1 || mgrs > 5) && !external)
    wrong('mgr.count', `is ${mgrs}, but must be 1 to 5; 2 gives a standby`);

  validateDataDir(spec, external, wrong);
  validateNetwork(spec, wrong);
  validateStorage(spec, wrong);
  validateAmounts(spec, wrong);

  const version = versionInImageName(spec.cephVersion?.image ?? '');
  if (version && !isVersionSupported(version) && !spec.cephVersion?.allowUnsupported)
    wrong(
      'cephVersion.image',
      `holds Ceph ${version.major}, but supported are ${supportedVersions}; cephVersion.allowUnsupported: true runs it all the same`,
    );
  return problems;
}

type Wrong = (field: string, message: string) => void;

function validateDataDir(spec: CephClusterSpec, external: boolean, wrong: Wrong): void {
  const dir = spec.dataDirHostPath;
  if (external) return;
  if (!dir)
    return wrong('dataDirHostPath', 'is missing; a folder of its own on each node, such as /var/lib/rook');
  if (!dir.startsWith('/'))
    wrong('dataDirHostPath', `is ${dir}, but must be an absolute path, such as /var/lib/rook`);
  const bare = dir.replace(/\/+$/, '');
  if (bare === '' || dir.split('/').includes('..'))
    wrong(
      'dataDirHostPath',
      `is ${dir}, but must be a folder of its own without "..", such as /var/lib/rook`,
    );
  for (const forbidden of forbiddenDataDirs)
    if (bare === forbidden || bare.startsWith(`${forbidden}/`))
      wrong(
        'dataDirHostPath',
        `must not be in ${forbidden}, which Ceph’s containers use themselves; use /var/lib/rook`,
      );
}

function validateNetwork(spec: CephClusterSpec, wrong: Wrong): void {
  const { network } = spec;
  if (network?.provider === 'multus' && Object.keys(network.selectors ?? {}).length === 0)
    wrong('network.selectors', 'must name a public or cluster network where the provider is multus');
  if (network?.hostNetwork && network.provider)
    wrong('network.hostNetwork', 'can only be set where network.provider is empty');
  if (network?.provider === 'host' && spec.mon?.allowMultiplePerNode && (spec.mon.count ?? 3) > 1)
    wrong(
      'mon.allowMultiplePerNode',
      'two mons cannot share a node’s ports 3300 and 6789 where network.provider is host; set it to false',
    );
}

function validateStorage(spec: CephClusterSpec, wrong: Wrong): void {
  const { storage } = spec;
  if (!storage) return;
  validateSelection(storage, 'storage', wrong);
  const seen = new Set<string>();
  for (const [index, node] of (storage.nodes ?? []).entries()) {
    const path = `storage.nodes[${index}]`;
    if (!node.name) wrong(`${path}.name`, 'is missing; the value of the node’s label kubernetes.io/hostname');
    else if (seen.has(node.name)) wrong(`${path}.name`, `${node.name} is there twice; merge the two entries`);
    seen.add(node.name ?? '');
    validateSelection(node, path, wrong);
  }
  if (storage.useAllNodes && (storage.nodes ?? []).length > 0)
    wrong('storage.nodes', 'must be empty where useAllNodes is true; set useAllNodes: false to choose nodes');
  const { nearFullRatio: near, backfillFullRatio: backfill, fullRatio: full } = storage;
  if ((near ?? 0.85) >= (backfill ?? 0.9))
    wrong('storage.nearFullRatio', 'must be below backfillFullRatio (0.9)');
  if ((backfill ?? 0.9) >= (full ?? 0.95))
    wrong('storage.backfillFullRatio', 'must be below fullRatio (0.95)');
}

function validateSelection(selection: StorageSelection, path: string, wrong: Wrong): void {
  for (const key of ['deviceFilter', 'devicePathFilter'] as const) {
    const pattern = selection[key];
    if (!pattern) continue;
    try {
      RegExp(pattern);
    } catch {
      wrong(`${path}.${key}`, `${pattern} is no regular expression; ^sd[b-d]$ is one`);
    }
  }
  validateConfig(selection.config, `${path}.config`, wrong);
  for (const [index, device] of (selection.devices ?? []).entries()) {
    if (!device.name && !device.fullpath)
      wrong(
        `${path}.devices[${index}]`,
        'has neither name nor fullpath; fullpath: /dev/disk/by-id/... is best',
      );
    validateConfig(device.config, `${path}.devices[${index}].config`, wrong);
  }
}

function validateConfig(config: Record<string, string> | null | undefined, path: string, wrong: Wrong): void {
  for (const key of wholeSettings) {
    const value = config?.[key];
    if (value !== undefined && !/^[0-9]+$/.test(value))
      wrong(`${path}.${key}`, `is ${value}, but must be a whole number, 0 or more, written as a string`);
  }
}

function validateAmounts(spec: CephClusterSpec, wrong: Wrong): void {
  const check = (value: string | number | undefined, path: string) => {
    if (value === undefined) return;
    const amount = parseQuantity(value);
    if (!amount || amount.milli < 0n)
      wrong(path, `is ${value}, but must be an amount that is not negative, such as 10Gi`);
  };
  check(spec.logCollector?.maxLogSize, 'logCollector.maxLogSize');
  for (const [daemon, resources] of Object.entries(spec.resources ?? {}))
    for (const kind of ['limits', 'requests'] as const)
      for (const [name, value] of Object.entries(resources[kind] ?? {}))
        check(value, `resources.${daemon}.${kind}.${name}`);
  const sets = spec.storage?.storageClassDeviceSets ?? [];
  for (const [index, set] of sets.entries())
    for (const [at, claim] of set.volumeClaimTemplates.entries())
      check(
        claim.spec?.resources?.requests?.['storage'],
        `storage.storageClassDeviceSets[${index}].volumeClaimTemplates[${at}].spec.resources.requests.storage`,
      );
  check(
    spec.mon?.volumeClaimTemplate?.spec?.resources?.requests?.['storage'],
    'mon.volumeClaimTemplate.spec.resources.requests.storage',
  );
}
