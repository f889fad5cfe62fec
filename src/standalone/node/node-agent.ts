import { statfs } from 'node:fs/promises';
import { freemem, totalmem } from 'node:os';
import type { Lease } from 'kubernetes-types/coordination/v1.js';
import type { Node } from 'kubernetes-types/core/v1.js';
import { Nodes } from '../../api/core.ts';
import type { Stored } from '../../api/resource.ts';
import type { KubeClient } from '../../kube/client.ts';
import { isAlreadyExists, isConflict } from '../../kube/errors.ts';
import { claimLease, renewLease } from '../../kube/lease.ts';
import { mergePatchBetween, patchStatus } from '../../kube/patch.ts';
import { backoffMs } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { NodeConfig } from '../config.ts';
import { newNode, nodeLabels, nodeStatus, type NodeFacts, type NodeHealth } from './node-object.ts';

export interface NodeAgentDeps {
  readonly client: KubeClient;
  readonly config: NodeConfig;
  readonly facts: NodeFacts;
  readonly clock: Clock;
  readonly log: Logger;
  /** Empty where pods can run. */
  notReady(): string;
  volumesInUse(): readonly string[];
}

/** The node's own presence in the API: its object, its lease, its heartbeat. */
export interface NodeAgent {
  /** Creates the object, or brings its labels and pod range up to date. */
  register(signal: AbortSignal): Promise<Stored<Node>>;
  /** Writes the status now, volumesInUse with it. */
  publish(signal: AbortSignal): Promise<void>;
  /** Renews the lease, and publishes what is new, at least every five minutes, until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

const leaseSeconds = 40;
const beatMs = 10_000;
const reportMs = 300_000;
const callMs = 10_000;
const diskFloor = 0.02; // Below this share of free space nothing can be trusted to be written.
const memoryFloorBytes = 100 * 1024 * 1024;
const attachAnnotation = 'volumes.kubernetes.io/controller-managed-attach-detach';

export function nodeAgent(deps: NodeAgentDeps): NodeAgent {
  const { client, config, facts, clock, log } = deps;
  const ref = { name: config.nodeName };
  const leases = leaseHolder(deps);
  let reportedAtMs = 0;
  let writing: Promise<void> = Promise.resolve();

  const read = async (signal: AbortSignal) =>
    (await client.get(Nodes, ref, { signal, timeoutMs: callMs })) ?? (await register(deps, signal));
  const write = async (signal: AbortSignal) => {
    const node = await read(signal);
    const status = nodeStatus(config, facts, await healthOf(deps), node.status, clock.now());
    const wanted = { ...node.status, ...status, volumesInUse: [...deps.volumesInUse()] };
    await patchStatus(client, Nodes, node, wanted, { signal, timeoutMs: callMs });
    reportedAtMs = clock.now();
  };
  // One at a time: two writers of one status would undo each other's volumesInUse.
  const publish = (signal: AbortSignal): Promise<void> => {
    const next = writing.catch(() => undefined).then(() => write(signal));
    writing = next;
    return next;
  };
  return {
    register: (signal) => register(deps, signal),
    publish,
    async run(signal) {
      let failures = 0;
      while (!signal.aborted) {
        let waitMs = beatMs;
        try {
          const node = await read(signal);
          await leases.renew(node, signal);
          if (clock.now() - reportedAtMs >= reportMs || (await saysNew(deps, node))) await publish(signal);
          failures = 0;
        } catch (err) {
          if (signal.aborted) return;
          // The lease is what keeps the node from being called dead: try soon.
          waitMs = backoffMs(failures++, { baseMs: 500, maxMs: beatMs });
          log.warn({ err }, 'heartbeat failed');
        }
        await clock.sleep(waitMs, signal).catch(() => undefined);
      }
    },
  };
}

async function register(deps: NodeAgentDeps, signal: AbortSignal): Promise<Stored<Node>> {
  const { client, config, facts, clock } = deps;
  const options = { signal, timeoutMs: callMs };
  const ref = { name: config.nodeName };
  let current = await client.get(Nodes, ref, options);
  if (!current) {
    try {
      const status = nodeStatus(config, facts, await healthOf(deps), undefined, clock.now());
      current = await client.create(Nodes, newNode(config, status), options);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      current = await client.get(Nodes, ref, options);
    }
  }
  if (!current) throw new Error('the node object went away while it was registered');
  const { labels, annotations } = current.metadata;
  const ranges = { podCIDR: config.podCidr, podCIDRs: [config.podCidr] };
  const body = mergePatchBetween(
    { metadata: { labels, annotations } },
    {
      metadata: {
        labels: { ...labels, ...nodeLabels(config) },
        annotations: { ...annotations, [attachAnnotation]: 'true' },
      },
      // A node's range is never changed: its pods have addresses of it.
      ...(current.spec?.podCIDR ? {} : { spec: ranges }),
    },
  );
  return body ? await client.patch(Nodes, ref, { type: 'merge', body }, options) : current;
}

async function healthOf({ config, notReady }: NodeAgentDeps): Promise<NodeHealth> {
  const disk = await statfs(config.kubeletRoot);
  return {
    notReady: notReady(),
    diskPressure: disk.blocks > 0 && disk.bavail / disk.blocks < diskFloor,
    memoryPressure: freemem() < memoryFloorBytes && totalmem() > 4 * memoryFloorBytes,
  };
}

/** Whether the API shows something else: also where the node lifecycle controller has called us unknown. */
async function saysNew(deps: NodeAgentDeps, node: Stored<Node>): Promise<boolean> {
  const { notReady, diskPressure, memoryPressure } = await healthOf(deps);
  const shows = (type: string, value: boolean) =>
    node.status?.conditions?.find((one) => one.type === type)?.status === (value ? 'True' : 'False');
  return (
    !shows('Ready', notReady === '') ||
    !shows('DiskPressure', diskPressure) ||
    !shows('MemoryPressure', memoryPressure) ||
    (node.status?.volumesInUse ?? []).join() !== deps.volumesInUse().join()
  );
}

function leaseHolder({ client, config, clock }: NodeAgentDeps) {
  let lease: Stored<Lease> | undefined;
  const place = { namespace: 'kube-node-lease', name: config.nodeName };
  return {
    async renew(node: Stored<Node>, signal: AbortSignal): Promise<void> {
      const claim = {
        holder: config.nodeName,
        durationSeconds: leaseSeconds,
        nowMs: clock.now(),
        ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: config.nodeName, uid: node.metadata.uid }],
      };
      const options = { signal, timeoutMs: callMs };
      if (lease) {
        try {
          lease = await renewLease(client, lease, claim, options);
          return;
        } catch (error) {
          lease = undefined; // Changed or deleted by somebody: read it anew.
          if (!isConflict(error)) throw error;
        }
      }
      const result = await claimLease(client, place, claim, () => true, options);
      if (result.kind === 'held') lease = result.lease;
    },
  };
}
