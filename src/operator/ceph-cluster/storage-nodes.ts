import type { Node } from 'kubernetes-types/core/v1.js';
import type { StorageSelection } from '../../api/ceph/cluster-storage.ts';
import { Nodes } from '../../api/core.ts';
import type { Stored } from '../../api/resource.ts';
import type { PrepareConfig } from '../osd/report.ts';
import { isUsableNode, nodeHostname } from './nodes.ts';
import type { ClusterWork } from './work.ts';

/** A node whose disks may become OSDs, and which of them. */
export interface StorageNode {
  readonly hostname: string;
  readonly selection: PrepareConfig['selection'];
  /** False where the node cannot run pods now: it is named in status, and nobody waits for it. */
  readonly usable: boolean;
}

/** The nodes that the storage section means. A node’s own settings go before the cluster’s. */
export async function storageNodes(work: ClusterWork): Promise<StorageNode[]> {
  const storage = work.cluster.spec.storage;
  if (!storage) return [];
  const nodes = await work.objects.list(Nodes, undefined, work.signal);
  const usable = (node: Stored<Node>) => isUsableNode(node, storage.scheduleAlways === true);
  if (storage.useAllNodes) {
    return nodes
      .filter(usable)
      .map((node) => ({ hostname: nodeHostname(node), selection: selectionOf(storage, {}), usable: true }))
      .sort((a, b) => a.hostname.localeCompare(b.hostname));
  }
  return (storage.nodes ?? []).flatMap((entry) => {
    if (!entry.name) return [];
    const found = nodes.find(
      (node) => nodeHostname(node) === entry.name || node.metadata.name === entry.name,
    );
    return [
      {
        hostname: found ? nodeHostname(found) : entry.name,
        selection: selectionOf(storage, entry),
        usable: found !== undefined && usable(found),
      },
    ];
  });
}

function selectionOf(cluster: StorageSelection, node: StorageSelection): PrepareConfig['selection'] {
  // Where a node chooses devices in any way, the cluster’s choice does not add to it.
  const chooses =
    node.useAllDevices !== undefined ||
    node.deviceFilter ||
    node.devicePathFilter ||
    (node.devices ?? []).length > 0;
  const from = chooses ? node : cluster;
  const deviceClass = node.config?.['deviceClass'] ?? cluster.config?.['deviceClass'];
  return {
    useAllDevices: from.useAllDevices === true,
    ...(from.deviceFilter && { deviceFilter: from.deviceFilter }),
    ...(from.devicePathFilter && { devicePathFilter: from.devicePathFilter }),
    devices: (from.devices ?? []).flatMap((device) => {
      const path =
        device.fullpath ||
        (device.name?.startsWith('/') ? device.name : device.name && `/dev/${device.name}`);
      const own = device.config?.['deviceClass'];
      return path ? [{ path, ...(own && { deviceClass: own }) }] : [];
    }),
    ...(deviceClass && { deviceClass }),
  };
}
