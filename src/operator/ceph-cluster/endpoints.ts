import type { ConfigMap } from 'kubernetes-types/core/v1.js';
import { ConfigMaps } from '../../api/core.ts';
import { isLeaving, LeavingError } from '../leaving.ts';
import type { ClusterWork } from './work.ts';

export const endpointsName = 'rook-ceph-mon-endpoints';

/** One mon: its letter, the node that holds its data, and the address that never changes. */
export interface PlannedMon {
  readonly name: string;
  readonly node: string;
  readonly hostname: string;
  /** ClusterIP of its Service, or the node’s address where the network is the host’s. */
  readonly address: string;
}

export interface RecordedMons {
  readonly mons: readonly PlannedMon[];
  /** The highest index ever used, -1 for none: a letter is never used again. */
  readonly maxId: number;
}

/** What this cluster’s record says, as the cache has it; another cluster’s is none. */
export async function recordedMons(work: ClusterWork): Promise<RecordedMons> {
  const ref = { namespace: work.namespace, name: endpointsName };
  const known = await work.objects.get(ConfigMaps, ref, work.signal);
  const ours = known?.metadata.ownerReferences?.some(({ uid }) => uid === work.cluster.metadata.uid);
  return readEndpoints(ours ? known : undefined);
}

/**
 * The same as the API has it, whoever wrote it: one that was restored by hand counts. Throws LeavingError
 * where it is a former cluster's: the Services that it names go with it.
 */
export async function newestRecord(work: ClusterWork): Promise<RecordedMons> {
  const ref = { namespace: work.namespace, name: endpointsName };
  const record = await work.kube.get(ConfigMaps, ref, { signal: work.signal });
  if (record && isLeaving(record, [work.owner])) throw new LeavingError(ConfigMaps.kind, ref);
  return readEndpoints(record);
}

/** `[v2:IP:3300,v1:IP:6789],...`, empty where there are none. */
export const monHostOf = (mons: readonly PlannedMon[]): string =>
  mons.map((mon) => `[v2:${bracketed(mon.address)}:3300,v1:${bracketed(mon.address)}:6789]`).join(',');

const bracketed = (address: string): string => (address.includes(':') ? `[${address}]` : address);

interface Mapping {
  readonly node?: Readonly<Record<string, { Name?: string; Hostname?: string; Address?: string }>>;
}

/** Reads Rook’s form: `data: a=10.96.0.5:6789,...`, `mapping: {"node":{"a":{"Name":...}}}`, `maxMonId`. */
export function readEndpoints(map: ConfigMap | undefined): RecordedMons {
  const data = map?.data ?? {};
  const mapping = JSON.parse(data['mapping'] || '{}') as Mapping;
  const mons = (data['data'] ?? '')
    .split(',')
    .filter((entry) => entry.includes('='))
    .map((entry): PlannedMon => {
      const [name = '', endpoint = ''] = entry.split('=');
      const place = mapping.node?.[name];
      const address = endpoint.slice(0, endpoint.lastIndexOf(':')).replace(/^\[|\]$/g, '');
      return { name, address, node: place?.Name ?? '', hostname: place?.Hostname ?? place?.Name ?? '' };
    });
  return { mons, maxId: Number(data['maxMonId'] ?? -1) };
}

/** The record in Rook’s form; `maxId` is the highest index ever used. */
export function endpointsMap(work: ClusterWork, mons: readonly PlannedMon[], maxId: number): ConfigMap {
  const msgr2 = work.cluster.spec.network?.connections?.requireMsgr2 === true;
  const endpoint = (mon: PlannedMon) => `${bracketed(mon.address)}:${msgr2 ? 3300 : 6789}`;
  const mapping = {
    node: Object.fromEntries(
      mons.map((mon) => [mon.name, { Name: mon.node, Hostname: mon.hostname, Address: mon.address }]),
    ),
  };
  const csi = [{ clusterID: work.namespace, monitors: mons.map(endpoint), namespace: work.namespace }];
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: endpointsName, namespace: work.namespace, ownerReferences: [work.owner] },
    data: {
      data: mons.map((mon) => `${mon.name}=${endpoint(mon)}`).join(','),
      maxMonId: String(maxId),
      mapping: JSON.stringify(mapping),
      'csi-cluster-config-json': JSON.stringify(csi),
      outOfQuorum: '',
    },
  };
}
