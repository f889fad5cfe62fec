import type { CSINode, CSINodeDriver } from 'kubernetes-types/storage/v1.js';
import { CSINodes, Nodes } from '../../../api/core.ts';
import type { KubeClient } from '../../../kube/client.ts';
import { isAlreadyExists, isConflict } from '../../../kube/errors.ts';
import type { DriverClient } from './driver-client.ts';

const maxTries = 8;

export interface CsiNodeObject {
  /** Adds or replaces the driver's entry, with its node id and topology; labels the node with the topology. */
  add(driver: DriverClient, signal: AbortSignal): Promise<void>;
  /** Keeps only these drivers' entries. */
  retain(names: ReadonlySet<string>, signal: AbortSignal): Promise<void>;
}

export function csiNodeObject(client: KubeClient, nodeName: string): CsiNodeObject {
  const edit = async (
    change: (drivers: readonly CSINodeDriver[]) => CSINodeDriver[] | undefined,
    signal: AbortSignal,
  ) => {
    for (let attempt = 0; ; attempt++) {
      const current = await client.get(CSINodes, { name: nodeName }, { signal });
      const wanted = change(current?.spec?.drivers ?? []);
      if (!wanted) return;
      try {
        if (current) await client.update(CSINodes, { ...current, spec: { drivers: wanted } }, { signal });
        else await client.create(CSINodes, await newObject(client, nodeName, wanted, signal), { signal });
        return;
      } catch (error) {
        if (attempt >= maxTries || !(isConflict(error) || isAlreadyExists(error))) throw error;
      }
    }
  };
  return {
    async add(driver, signal) {
      const info = await driver.info(signal);
      if (info.nodeId === '') throw new Error(`driver ${driver.name} gave no node id`);
      const segments = info.accessibleTopology?.segments ?? {};
      const entry: CSINodeDriver = {
        name: driver.name,
        nodeID: info.nodeId,
        topologyKeys: Object.keys(segments).sort(),
        ...(info.maxVolumesPerNode > 0n ? { allocatable: { count: Number(info.maxVolumesPerNode) } } : {}),
      };
      if (Object.keys(segments).length > 0)
        await client.patch(
          Nodes,
          { name: nodeName },
          { type: 'merge', body: { metadata: { labels: segments } } },
          { signal },
        );
      await edit((drivers) => {
        const before = drivers.find((one) => one.name === driver.name);
        if (before && sameEntry(before, entry)) return undefined;
        return [...drivers.filter((one) => one.name !== driver.name), entry];
      }, signal);
    },
    async retain(names, signal) {
      await edit((drivers) => {
        const kept = drivers.filter((one) => names.has(one.name));
        return kept.length === drivers.length ? undefined : kept;
      }, signal);
    },
  };
}

const sameEntry = (a: CSINodeDriver, b: CSINodeDriver): boolean =>
  a.nodeID === b.nodeID &&
  (a.topologyKeys ?? []).join() === (b.topologyKeys ?? []).join() &&
  a.allocatable?.count === b.allocatable?.count;

async function newObject(
  client: KubeClient,
  nodeName: string,
  drivers: CSINodeDriver[],
  signal: AbortSignal,
): Promise<CSINode> {
  const node = await client.get(Nodes, { name: nodeName }, { signal });
  const owner = node && {
    ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: nodeName, uid: node.metadata.uid }],
  };
  return { metadata: { name: nodeName, ...owner }, spec: { drivers } };
}
