import { setMaxListeners } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { EndpointSlice } from 'kubernetes-types/discovery/v1.js';
import type { Pod, Service } from 'kubernetes-types/core/v1.js';
import { EndpointSlices, Pods, Services } from '../../api/core.ts';
import type { Stored } from '../../api/resource.ts';
import type { Cache } from '../../kube/cache.ts';
import { cacheSet, type CacheSet } from '../../kube/cache-set.ts';
import type { KubeClient } from '../../kube/client.ts';
import { createEventRecorder } from '../../kube/events.ts';
import { loadKubeConfig } from '../../kube/kubeconfig.ts';
import { createKubeClient } from '../../kube/undici-client.ts';
import { backoffMs } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { NodeConfig } from '../config.ts';
import { resolveImage } from '../images/image-table.ts';
import { csiNodeObject } from './csi/csi-node-object.ts';
import { csiVolumes, type CsiVolumes } from './csi/csi-volumes.ts';
import { pluginRegistry, type PluginRegistry } from './csi/plugin-registry.ts';
import { volumesInUse, type VolumesInUse } from './csi/volumes-in-use.ts';
import { runGarbage } from './garbage.ts';
import { imageResolver } from './image-resolution.ts';
import { startKubeletServer } from './kubelet-server.ts';
import { runLogRotation } from './log-rotation.ts';
import { nodeAgent, type NodeAgent } from './node-agent.ts';
import { kubeletPort, readNodeFacts, type NodeFacts } from './node-object.ts';
import { podEffects, type PodEffects } from './pod-effects.ts';
import { podManager, type PodManager } from './pod-manager.ts';
import { podReferences, type PodReferences } from './references.ts';
import { restartBackoff } from './restart-backoff.ts';
import { connectRuntime, type ContainerRuntime } from './runtime.ts';
import { runtimeWatch, type RuntimeWatch } from './runtime-watch.ts';
import { runServiceProxy } from './service-proxy.ts';
import { podVolumes, type PodVolumes } from './volumes/pod-volumes.ts';
import { tokenSource } from './volumes/service-account-token.ts';

export interface NodeDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** Ends the process's work; containers go on, and are taken up again by the next one. */
  readonly signal: AbortSignal;
}

/** What everything of the node shares. */
interface Base extends NodeDeps {
  readonly config: NodeConfig;
  readonly client: KubeClient;
  readonly runtime: ContainerRuntime;
  readonly caches: CacheSet;
  readonly facts: NodeFacts;
  readonly services: Cache<Service>;
  readonly slices: Cache<EndpointSlice>;
  readonly pods: Cache<Pod>;
  event(pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string): void;
}

const logRoot = '/var/log/pods';
const staleRuntimeMs = 15_000;
const versionMs = 5_000;
const startRetry = { baseMs: 200, maxMs: 5_000 };

/** The kubelet's part of one virtual node, over containerd's CRI. Runs until the signal aborts. */
export async function runNode(config: NodeConfig, deps: NodeDeps): Promise<void> {
  const { clock, log, signal } = deps;
  setMaxListeners(0, signal); // Each pod's worker, watch and call listens to it.
  const base = await openBase(config, deps);
  const node = await assemble(base);
  const { manager, watch, agent, registry, references, csi } = node;
  const { runtime, pods, services, slices } = base;
  await retryUntilDone(deps, 'registering the node', () => agent.register(signal));
  const server = await startKubeletServer({
    tls: config.tls,
    listen: { host: config.nodeIp, port: kubeletPort },
    nodeName: config.nodeName,
    runtime,
    clock,
    log,
    pods: () => pods.list(),
    observed: (uid) => watch.pod(uid),
  });
  log.info({ node: config.nodeName, port: server.port }, 'node is up');
  const { kubeletRoot, serviceCidr, podCidr, nodeName } = config;
  const garbage = {
    runtime,
    watch,
    csi,
    kubeletRoot,
    logRoot,
    clock,
    log,
    hasWorker: (uid: string) => manager.has(uid),
    startWorker: (uid: string) => manager.adoptOrphan(uid),
  };
  try {
    await Promise.all([
      watch.run(signal),
      firstLook(watch, deps).then(() => agent.run(signal)),
      registry.run(signal),
      manager.run(),
      runLogRotation({ runtime, watch, clock, log }, signal),
      manager.synced().then(() => runGarbage(garbage, signal)),
      runServiceProxy({ services, slices, serviceCidr, podCidr, nodeName, clock, log }, signal),
    ]);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    await server.close();
    references.close();
    await base.caches.close();
    runtime.close();
    await base.client.close();
  }
}

async function openBase(config: NodeConfig, deps: NodeDeps): Promise<Base> {
  const { clock, log, signal } = deps;
  const client = createKubeClient(await loadKubeConfig(config.kubeconfig), {
    clock,
    fieldManager: 'kubelet',
  });
  const caches = cacheSet({ client, clock, log });
  const runtime = connectRuntime(config.criSocket);
  // Manifests of CSI drivers mount these as folders that are there.
  for (const name of ['pods', 'plugins', 'plugins_registry'])
    await mkdir(join(config.kubeletRoot, name), { recursive: true, mode: 0o755 });
  const version = await retryUntilDone(deps, 'asking containerd for its version', () =>
    runtime.runtime.version({ version: 'v1' }, { signal, timeoutMs: versionMs }),
  );
  const recorder = createEventRecorder({
    client,
    clock,
    log,
    signal,
    component: 'kubelet',
    host: config.nodeName,
  });
  return {
    ...deps,
    config,
    client,
    runtime,
    caches,
    facts: await readNodeFacts(config.kubeletRoot, `${version.runtimeName}://${version.runtimeVersion}`),
    services: caches.cache(Services),
    slices: caches.cache(EndpointSlices),
    pods: caches.cache(Pods, { fieldSelector: `spec.nodeName=${config.nodeName}` }),
    event(pod, type, reason, message) {
      // A pod that only the runtime knows of has nobody to read its events.
      if (pod.metadata?.resourceVersion) recorder.event(withKind(pod), type, reason, message);
    },
  };
}

/** Lists leave out what every item has in common. */
const withKind = (pod: Pod): Stored<Pod> => ({ ...pod, apiVersion: 'v1', kind: 'Pod' }) as Stored<Pod>;

interface Assembled {
  readonly manager: PodManager;
  readonly watch: RuntimeWatch;
  readonly agent: NodeAgent;
  readonly registry: PluginRegistry;
  readonly references: PodReferences;
  readonly csi: CsiVolumes;
}

async function assemble(base: Base): Promise<Assembled> {
  const { config, client, runtime, clock, log, facts, pods, event, signal } = base;
  const { kubeletRoot, nodeName, nodeIp } = config;
  // What hears of changes, and the pods' workers that are then woken, need each other.
  const references = podReferences({
    client,
    clock,
    log,
    onChange: (kind, namespace, name) => manager.referenceChanged(kind, namespace, name),
  });
  const watch = runtimeWatch({ runtime, clock, log, onChange: (uids) => manager.runtimeChanged(uids) });
  const registry = driverRegistry(base, () => manager.wakeAll());
  const inUse: VolumesInUse = volumesInUse((own) => agent.publish(own ?? signal));
  const agent = nodeAgent({
    client,
    config,
    facts,
    clock,
    log,
    notReady: () => (clock.now() - watch.seenAtMs > staleRuntimeMs ? 'container runtime is down' : ''),
    volumesInUse: () => inUse.list(),
  });
  const csi = csiVolumes({ client, clock, kubeletRoot, nodeName, registry, references, inUse });
  inUse.adopt(await csi.onDisk());
  const manager = podManager({
    client,
    clock,
    log,
    nodeIp,
    kubeletRoot,
    watch,
    references,
    event,
    pods,
    signal,
    effects: effectsOf(base, references),
    volumes: volumesOf(base, { csi, references, watch }),
    backoff: restartBackoff(),
    runtime: runtime.runtime,
  });
  return { manager, watch, agent, registry, references, csi };
}

function driverRegistry({ client, config, clock, log, signal }: Base, onNew: () => void): PluginRegistry {
  const csiNode = csiNodeObject(client, config.nodeName);
  const registry = pluginRegistry({
    folder: join(config.kubeletRoot, 'plugins_registry'),
    clock,
    log,
    async onRegistered(driver, own) {
      await csiNode.add(driver, own);
      onNew();
    },
    onGone() {
      const names = new Set(registry.drivers().map((driver) => driver.name));
      csiNode.retain(names, signal).catch((err: unknown) => log.warn({ err }, 'CSINode not updated'));
    },
  });
  return registry;
}

function volumesOf(
  { config, client, clock, facts }: Base,
  { csi, references, watch }: Pick<Assembled, 'csi' | 'references' | 'watch'>,
): PodVolumes {
  const tokens = tokenSource(client, clock);
  const { nodeName, nodeIp, kubeletRoot } = config;
  return podVolumes({
    kubeletRoot,
    csi,
    tokens,
    sources(pod) {
      const podIps = watch.pod(pod.metadata?.uid ?? '')?.sandboxes[0]?.ips ?? [];
      return {
        references,
        tokens,
        capacity: facts.capacity,
        addresses: { nodeName, hostIp: nodeIp, podIps },
      };
    },
  });
}

function effectsOf(base: Base, references: PodReferences): PodEffects {
  const { config, runtime, clock, services, facts, event } = base;
  const { nodeName, nodeIp, kubeletRoot, imageTable } = config;
  return podEffects({
    runtime,
    clock,
    nodeName,
    nodeIp,
    kubeletRoot,
    logRoot,
    references,
    event,
    images: imageResolver({ tablePath: imageTable, images: runtime.images, lookup: resolveImage }),
    capacity: facts.capacity,
    async services(signal) {
      await services.synced(signal);
      return services.list();
    },
  });
}

/** The first heartbeat waits a moment for the runtime, so that a new node is not NotReady for ten seconds. */
async function firstLook(watch: RuntimeWatch, { clock, signal }: NodeDeps): Promise<void> {
  for (let turn = 0; turn < 50 && watch.seenAtMs === 0; turn++) await clock.sleep(100, signal);
}

async function retryUntilDone<T>(
  { clock, log, signal }: NodeDeps,
  what: string,
  body: () => Promise<T>,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await body();
    } catch (err) {
      if (signal.aborted) throw err;
      log.warn({ err }, `${what} failed; trying again`);
      await clock.sleep(backoffMs(attempt, startRetry), signal);
    }
  }
}
