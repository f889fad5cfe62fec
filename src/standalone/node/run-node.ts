import { join } from 'node:path';
import type { Pod, Service } from 'kubernetes-types/core/v1.js';
import { EndpointSlices, Pods, Services } from '../../api/core.ts';
import type { Stored } from '../../api/resource.ts';
import { cacheSet } from '../../kube/cache-set.ts';
import { createEventRecorder } from '../../kube/events.ts';
import { loadKubeConfig } from '../../kube/kubeconfig.ts';
import { createKubeClient } from '../../kube/undici-client.ts';
import type { Clock } from '../../lib/clock.ts';
import { backoffMs } from '../../lib/backoff.ts';
import type { Logger } from '../../lib/log.ts';
import type { NodeConfig } from '../config.ts';
import { resolveImage } from '../images/image-table.ts';
import { csiNodeObject } from './csi/csi-node-object.ts';
import { csiVolumes } from './csi/csi-volumes.ts';
import { pluginRegistry } from './csi/plugin-registry.ts';
import { volumesInUse, type VolumesInUse } from './csi/volumes-in-use.ts';
import { runGarbage } from './garbage.ts';
import { imageResolver } from './image-resolution.ts';
import { startKubeletServer } from './kubelet-server.ts';
import { runLogRotation } from './log-rotation.ts';
import { nodeAgent } from './node-agent.ts';
import { kubeletPort, readNodeFacts } from './node-object.ts';
import { podEffects } from './pod-effects.ts';
import { podManager } from './pod-manager.ts';
import { podReferences } from './references.ts';
import { restartBackoff } from './restart-backoff.ts';
import { connectRuntime } from './runtime.ts';
import { runtimeWatch } from './runtime-watch.ts';
import { runServiceProxy } from './service-proxy.ts';
import { podVolumes } from './volumes/pod-volumes.ts';
import { tokenSource } from './volumes/service-account-token.ts';

export interface NodeDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** Ends the process's work; containers go on, and are taken up again by the next one. */
  readonly signal: AbortSignal;
}

export interface NodeOptions {
  /** :10250 where not said; 0 takes a free one. */
  readonly port?: number;
  /** Leave iptables alone: for a node that shares a network namespace. */
  readonly serviceRules?: boolean;
  readonly logRoot?: string;
}

const staleRuntimeMs = 15_000;

/** The kubelet's part of one virtual node, over containerd's CRI. Runs until the signal aborts. */
export async function runNode(config: NodeConfig, deps: NodeDeps, options: NodeOptions = {}): Promise<void> {
  const { clock, log, signal } = deps;
  const logRoot = options.logRoot ?? '/var/log/pods';
  const client = createKubeClient(await loadKubeConfig(config.kubeconfig), {
    clock,
    fieldManager: 'kubelet',
  });
  const caches = cacheSet({ client, clock, log });
  const runtime = connectRuntime(config.criSocket);
  const facts = await readNodeFacts(config.kubeletRoot, await runtimeVersion());

  const services = caches.cache(Services);
  const slices = caches.cache(EndpointSlices);
  const pods = caches.cache(Pods, { fieldSelector: `spec.nodeName=${config.nodeName}` });
  const recorder = createEventRecorder({
    client,
    component: 'kubelet',
    host: config.nodeName,
    clock,
    log,
    signal,
  });
  const event = (pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string) => {
    if (pod.metadata?.resourceVersion) recorder.event(withKind(pod), type, reason, message);
  };

  const references = podReferences({
    client,
    clock,
    log,
    onChange: (kind, namespace, name) => manager.referenceChanged(kind, namespace, name),
  });
  const csiNode = csiNodeObject(client, config.nodeName);
  const registry = pluginRegistry({
    folder: join(config.kubeletRoot, 'plugins_registry'),
    clock,
    log,
    onRegistered: async (driver, own) => {
      await csiNode.add(driver, own);
      manager.wakeAll();
    },
    onGone: () => {
      const names = new Set(registry.drivers().map((driver) => driver.name));
      csiNode.retain(names, signal).catch((err: unknown) => log.warn({ err }, 'CSINode not updated'));
    },
  });
  // The list and the agent that publishes it need each other.
  const inUse: VolumesInUse = volumesInUse((own) => agent.publish(own ?? signal));
  const csi = csiVolumes({
    client,
    clock,
    log,
    kubeletRoot: config.kubeletRoot,
    nodeName: config.nodeName,
    registry,
    references,
    inUse,
  });
  inUse.adopt(await csi.onDisk());
  const watch = runtimeWatch({ runtime, clock, log, onChange: (uids) => manager.runtimeChanged(uids) });
  const agent = nodeAgent({
    client,
    config,
    facts,
    clock,
    log,
    notReady: () => (clock.now() - watch.seenAtMs > staleRuntimeMs ? '[container runtime is down]' : ''),
    volumesInUse: () => inUse.list(),
  });

  const tokens = tokenSource(client, clock);
  const volumes = podVolumes({
    kubeletRoot: config.kubeletRoot,
    csi,
    tokens,
    sources: (pod) => ({
      references,
      tokens,
      capacity: facts.capacity,
      addresses: {
        nodeName: config.nodeName,
        hostIp: config.nodeIp,
        podIps: watch.pod(pod.metadata?.uid ?? '')?.sandboxes[0]?.ips ?? [],
      },
    }),
  });
  const effects = podEffects({
    runtime,
    clock,
    log,
    nodeName: config.nodeName,
    nodeIp: config.nodeIp,
    kubeletRoot: config.kubeletRoot,
    logRoot,
    images: imageResolver({ tablePath: config.imageTable, images: runtime.images, lookup: resolveImage }),
    references,
    capacity: facts.capacity,
    services: async (own): Promise<readonly Service[]> => {
      await services.synced(own);
      return services.list();
    },
    event,
  });
  const manager = podManager({
    client,
    clock,
    log,
    nodeIp: config.nodeIp,
    kubeletRoot: config.kubeletRoot,
    effects,
    volumes,
    backoff: restartBackoff(),
    runtime: runtime.runtime,
    watch,
    references,
    event,
    pods,
    signal,
  });

  await retryUntilDone('registering the node', () => agent.register(signal));
  const server = await startKubeletServer({
    tls: config.tls,
    listen: { host: config.nodeIp, port: options.port ?? kubeletPort },
    nodeName: config.nodeName,
    runtime,
    clock,
    log,
    pods: () => pods.list(),
    observed: (uid) => watch.pod(uid),
  });
  log.info({ node: config.nodeName, port: server.port }, 'node is up');
  try {
    await Promise.all([
      watch.run(signal),
      afterFirstLook(() => agent.run(signal)),
      registry.run(signal),
      manager.run(),
      runLogRotation({ runtime, watch, clock, log }, signal),
      manager.synced().then(() =>
        runGarbage(
          {
            runtime,
            watch,
            csi,
            kubeletRoot: config.kubeletRoot,
            logRoot,
            clock,
            log,
            hasWorker: (uid) => manager.has(uid),
            startWorker: (uid) => manager.adoptOrphan(uid),
          },
          signal,
        ),
      ),
      ...(options.serviceRules === false
        ? []
        : [runServiceProxy({ services, slices, ...config, clock, log }, signal)]),
    ]);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    await server.close();
    references.close();
    await caches.close();
    runtime.close();
    await client.close();
  }

  async function runtimeVersion(): Promise<string> {
    const answer = await retryUntilDone('asking containerd for its version', () =>
      runtime.runtime.version({ version: 'v1' }, { signal, timeoutMs: 5_000 }),
    );
    return `${answer.runtimeName}://${answer.runtimeVersion}`;
  }

  /** The first heartbeat waits a moment for the runtime, so that a new node is not NotReady for ten seconds. */
  async function afterFirstLook(body: () => Promise<void>): Promise<void> {
    for (let turn = 0; turn < 50 && watch.seenAtMs === 0; turn++) await clock.sleep(100, signal);
    await body();
  }

  async function retryUntilDone<T>(what: string, body: () => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await body();
      } catch (err) {
        if (signal.aborted) throw err;
        log.warn({ err }, `${what} failed; trying again`);
        await clock.sleep(backoffMs(attempt, { baseMs: 200, maxMs: 5_000 }), signal);
      }
    }
  }
}

/** Lists leave out what every item has in common. */
const withKind = (pod: Pod): Stored<Pod> => ({ ...pod, apiVersion: 'v1', kind: 'Pod' }) as Stored<Pod>;
