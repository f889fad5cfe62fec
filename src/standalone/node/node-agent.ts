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
  /** Writes the status where it says something new, at least every five minutes. */
  publish(signal: AbortSignal): Promise<void>;
  /** Renews the lease and publishes, until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
  readonly node: Stored<Node> | undefined;
}

const leaseSeconds = 40;
const beatMs = 10_000;
const reportMs = 300_000;
const callMs = 10_000;
const diskFloor = 0.02; // Below this share of free space nothing can be trusted to be written.
const memoryFloorBytes = 100 * 1024 * 1024;

export function nodeAgent(deps: NodeAgentDeps): NodeAgent {
  const { client, config, facts, clock, log } = deps;
  const ref = { name: config.nodeName };
  let node: Stored<Node> | undefined;
  let reportedAtMs = 0;
  let lease: Stored<Lease> | undefined;
  let writing: Promise<void> = Promise.resolve();

  const register = async (signal: AbortSignal): Promise<Stored<Node>> => {
    const options = { signal, timeoutMs: callMs };
    let current = await client.get(Nodes, ref, options);
    if (!current) {
      try {
        current = await client.create(Nodes, newNode(config), options);
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
        current = await client.get(Nodes, ref, options);
      }
    }
    if (!current) throw new Error('the node object went away while it was registered');
    const labels = { ...current.metadata.labels, ...nodeLabels(config) };
    const annotations = {
      ...current.metadata.annotations,
      'volumes.kubernetes.io/controller-managed-attach-detach': 'true',
    };
    const podCidr = current.spec?.podCIDR ? {} : { podCIDR: config.podCidr, podCIDRs: [config.podCidr] };
    const wanted = { metadata: { labels, annotations }, spec: podCidr };
    const from = {
      metadata: { labels: current.metadata.labels, annotations: current.metadata.annotations },
      spec: {},
    };
    const body = mergePatchBetween(from, wanted);
    node = body ? await client.patch(Nodes, ref, { type: 'merge', body }, options) : current;
    return node;
  };

  const health = async (): Promise<NodeHealth> => {
    const disk = await statfs(config.kubeletRoot);
    return {
      notReady: deps.notReady(),
      diskPressure: disk.blocks > 0 && disk.bavail / disk.blocks < diskFloor,
      memoryPressure: freemem() < memoryFloorBytes && totalmem() > 4 * memoryFloorBytes,
    };
  };

  const write = async (signal: AbortSignal) => {
    const current = (await client.get(Nodes, ref, { signal, timeoutMs: callMs })) ?? (await register(signal));
    const status = nodeStatus(config, facts, await health(), current.status, clock.now());
    const wanted = { ...current.status, ...status, volumesInUse: [...deps.volumesInUse()] };
    node = await patchStatus(client, Nodes, current, wanted, { signal, timeoutMs: callMs });
    reportedAtMs = clock.now();
  };
  // One at a time: two writers of one status would undo each other's volumesInUse.
  const publish = (signal: AbortSignal): Promise<void> => {
    const next = writing.catch(() => undefined).then(() => write(signal));
    writing = next;
    return next;
  };

  const saysNew = async (): Promise<boolean> => {
    if (clock.now() - reportedAtMs >= reportMs) return true;
    const { notReady, diskPressure, memoryPressure } = await health();
    const is = (type: string) =>
      node?.status?.conditions?.find((one) => one.type === type)?.status === 'True';
    return (
      is('Ready') !== (notReady === '') ||
      is('DiskPressure') !== diskPressure ||
      is('MemoryPressure') !== memoryPressure ||
      (node?.status?.volumesInUse ?? []).join() !== deps.volumesInUse().join()
    );
  };

  const beat = async (signal: AbortSignal) => {
    const owner = node && [{ apiVersion: 'v1', kind: 'Node', name: config.nodeName, uid: node.metadata.uid }];
    const claim = {
      holder: config.nodeName,
      durationSeconds: leaseSeconds,
      nowMs: clock.now(),
      ...(owner ? { ownerReferences: owner } : {}),
    };
    const options = { signal, timeoutMs: callMs };
    const place = { namespace: 'kube-node-lease', name: config.nodeName };
    try {
      if (lease) {
        lease = await renewLease(client, lease, claim, options);
        return;
      }
    } catch (error) {
      lease = undefined;
      if (!isConflict(error)) throw error;
    }
    const result = await claimLease(client, place, claim, () => true, options);
    if (result.kind === 'held') lease = result.lease;
  };

  return {
    register,
    publish,
    get node() {
      return node;
    },
    async run(signal) {
      let failures = 0;
      while (!signal.aborted) {
        let waitMs = beatMs;
        try {
          await beat(signal);
          // Read anew: the node lifecycle controller may have called us unknown, or somebody deleted us.
          node = (await client.get(Nodes, ref, { signal, timeoutMs: callMs })) ?? (await register(signal));
          if (await saysNew()) await publish(signal);
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
