import type { Node, Service } from 'kubernetes-types/core/v1.js';
import { ConfigMaps, Nodes, Secrets, Services } from '../../api/core.ts';
import type { Stored } from '../../api/resource.ts';
import { daemonLabels, selectorLabels } from './daemon-labels.ts';
import { endpointsMap, monHostOf, newestRecord, recordedMons, type PlannedMon } from './endpoints.ts';
import { encoded } from './identity.ts';
import { isUsableNode, nodeAddress, nodeHostname } from './nodes.ts';
import { hostNetworkOf, type ClusterWork, type Wait } from './work.ts';

export interface MonPlan {
  readonly mons: readonly PlannedMon[];
  /** `[v2:IP:3300,v1:IP:6789],...` */
  readonly monHost: string;
}

/** `0` is a, `25` is z, `26` is aa: Rook’s names. */
export function monLetter(index: number): string {
  const last = String.fromCharCode(97 + (index % 26));
  return index < 26 ? last : monLetter(Math.floor(index / 26) - 1) + last;
}

/**
 * Where the mons are, as recorded in the ConfigMap `rook-ceph-mon-endpoints`; mons that the spec asks for
 * and that are not there yet are planned all at once and recorded before any of them starts.
 */
export async function ensureMonPlan(work: ClusterWork): Promise<MonPlan | Wait> {
  const { objects, signal } = work;
  const count = work.cluster.spec.mon?.count ?? 3;
  const seen = await recordedMons(work);
  // A record that has all of them is settled; what is still to be planned is planned on the newest one.
  const recorded = seen.mons.length >= count ? seen : await newestRecord(work);
  const missing = count - recorded.mons.length;
  if (missing <= 0) return planOf(work, recorded.mons);

  const nodes = (await objects.list(Nodes, undefined, signal)).filter((node) => isUsableNode(node));
  const chosen = chooseNodes(work, nodes, recorded.mons, missing);
  if (chosen.length < missing) {
    return {
      step: 'mons',
      reason: 'NodesMissing',
      message: `${count} mons need ${count} usable nodes, there are ${nodes.length}; add nodes, or set mon.allowMultiplePerNode: true for a test cluster`,
      recheckMs: 10_000,
      limitMs: 300_000,
    };
  }
  const added = await Promise.all(
    chosen.map(async (node, index): Promise<PlannedMon> => {
      const name = monLetter(recorded.maxId + 1 + index);
      const address = hostNetworkOf(work.cluster) ? nodeAddress(node) : await serviceAddress(work, name);
      return { name, node: node.metadata.name, hostname: nodeHostname(node), address };
    }),
  );
  const mons = [...recorded.mons, ...added];
  await objects.ensure(ConfigMaps, endpointsMap(work, mons, recorded.maxId + missing), signal);
  return planOf(work, mons);
}

async function planOf(work: ClusterWork, mons: readonly PlannedMon[]): Promise<MonPlan> {
  const monHost = monHostOf(mons);
  if (!hostNetworkOf(work.cluster)) await Promise.all(mons.map((mon) => ensureService(work, mon.name)));
  await work.objects.ensure(
    Secrets,
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'rook-ceph-config', namespace: work.namespace, ownerReferences: [work.owner] },
      type: 'kubernetes.io/rook',
      data: encoded({ mon_host: monHost, mon_initial_members: mons.map((mon) => mon.name).join(',') }),
    },
    work.signal,
  );
  return { mons, monHost };
}

/** The least loaded nodes first; a node twice only where the spec allows it. */
function chooseNodes(
  work: ClusterWork,
  nodes: readonly Stored<Node>[],
  taken: readonly PlannedMon[],
  wanted: number,
): Stored<Node>[] {
  const load = new Map(nodes.map((node) => [node.metadata.name, 0]));
  for (const mon of taken) if (load.has(mon.node)) load.set(mon.node, (load.get(mon.node) ?? 0) + 1);
  const shared = work.cluster.spec.mon?.allowMultiplePerNode === true;
  const chosen: Stored<Node>[] = [];
  while (chosen.length < wanted) {
    const best = nodes
      .filter((node) => shared || load.get(node.metadata.name) === 0)
      .sort(
        (a, b) =>
          (load.get(a.metadata.name) ?? 0) - (load.get(b.metadata.name) ?? 0) ||
          a.metadata.name.localeCompare(b.metadata.name),
      )[0];
    if (!best) break;
    load.set(best.metadata.name, (load.get(best.metadata.name) ?? 0) + 1);
    chosen.push(best);
  }
  return chosen;
}

async function ensureService(work: ClusterWork, name: string): Promise<Stored<Service>> {
  return await work.objects.ensure(Services, monService(work, name), work.signal);
}

async function serviceAddress(work: ClusterWork, name: string): Promise<string> {
  const address = (await ensureService(work, name)).spec?.clusterIP;
  if (!address || address === 'None') throw new Error(`Service rook-ceph-mon-${name} has no ClusterIP`);
  return address;
}

/** A mon’s identity: pods come and go behind it. */
export function monService(work: ClusterWork, name: string): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: `rook-ceph-mon-${name}`,
      namespace: work.namespace,
      labels: daemonLabels(work, 'mon', name),
      ownerReferences: [work.owner],
    },
    spec: {
      type: 'ClusterIP',
      selector: selectorLabels(work, 'mon', name),
      // Mons must reach each other before any of them is ready.
      publishNotReadyAddresses: true,
      ports: [
        { name: 'tcp-msgr1', port: 6789, targetPort: 6789, protocol: 'TCP' },
        { name: 'tcp-msgr2', port: 3300, targetPort: 3300, protocol: 'TCP' },
      ],
    },
  };
}
