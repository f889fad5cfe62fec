import type { Pod } from 'kubernetes-types/core/v1.js';
import type { Stored } from '../../api/resource.ts';
import type { Cache } from '../../kube/cache.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { PodEffects } from './pod-effects.ts';
import { podWorker, type PodWorker } from './pod-worker.ts';
import { runAction, type HandlerAction } from './probe-action.ts';
import { podProbes, probeTitle, type PodProbes } from './probes.ts';
import type { PodReferences, ReferenceKind } from './references.ts';
import type { RestartBackoff } from './restart-backoff.ts';
import type { RuntimeCalls } from './runtime.ts';
import type { RuntimeWatch } from './runtime-watch.ts';
import { terminationMessage } from './termination-message.ts';
import type { PodVolumes } from './volumes/pod-volumes.ts';

export interface PodManagerDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeIp: string;
  readonly kubeletRoot: string;
  readonly effects: PodEffects;
  readonly volumes: PodVolumes;
  readonly backoff: RestartBackoff;
  readonly runtime: RuntimeCalls;
  readonly watch: RuntimeWatch;
  readonly references: PodReferences;
  /** Pods of this node. */
  readonly pods: Cache<Pod>;
  readonly signal: AbortSignal;
  event(pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string): void;
}

/** One worker for each pod that the API gives this node, or that is still here. */
export interface PodManager {
  run(): Promise<void>;
  /** Resolves when the first list of pods is in and the runtime was seen. */
  synced(): Promise<void>;
  has(uid: string): boolean;
  adoptOrphan(uid: string): void;
  runtimeChanged(uids: readonly string[]): void;
  referenceChanged(kind: ReferenceKind, namespace: string, name: string): void;
  wakeAll(): void;
}

export function podManager(deps: PodManagerDeps): PodManager {
  const { pods, watch, log, signal } = deps;
  const workers = new Map<string, { readonly worker: PodWorker; readonly done: Promise<void> }>();

  const start = (uid: string, pod: Stored<Pod> | undefined) => {
    const worker = podWorker(uid, pod, {
      ...deps,
      lastWords: (podUid, spec, container) => terminationMessage(deps.kubeletRoot, podUid, spec, container),
      observed: (own) => watch.pod(own),
      refresh: (own) => watch.refresh(own),
      probes: (current, podIp, wake) => probesOf(deps, current, podIp, wake),
    });
    const done = worker
      .run(signal)
      .catch((err: unknown) => log.error({ err, uid }, 'a pod worker ended with an error'))
      .finally(() => {
        workers.delete(uid);
        followNamespaces();
        // The same uid may be in the API yet: its end was not its deletion.
        const again = pods.list().find((one) => one.metadata.uid === uid);
        if (again && !signal.aborted && !again.metadata.deletionTimestamp) start(uid, again);
      });
    workers.set(uid, { worker, done });
    followNamespaces();
  };

  /** Only namespaces with pods here are watched for what pods refer to. */
  const followNamespaces = () => {
    const namespaces = [...workers.values()].map(({ worker }) => worker.pod.metadata?.namespace ?? '');
    deps.references.follow(new Set(namespaces.filter((one) => one !== '')));
  };

  const onPod = (pod: Stored<Pod>) => {
    const known = workers.get(pod.metadata.uid);
    if (known) known.worker.update(pod);
    else start(pod.metadata.uid, pod);
  };

  return {
    synced: () => synced(deps),
    has: (uid) => workers.has(uid),
    adoptOrphan(uid) {
      if (workers.has(uid)) return;
      const pod = pods.list().find((one) => one.metadata.uid === uid);
      log.info({ uid, known: pod !== undefined }, 'taking up a pod that is still here');
      start(uid, pod);
    },
    runtimeChanged(uids) {
      for (const uid of uids) workers.get(uid)?.worker.wake();
    },
    referenceChanged(kind, namespace, name) {
      for (const { worker } of workers.values())
        if (worker.pod.metadata?.namespace === namespace && refersTo(worker.pod, kind, name))
          worker.wake(true);
    },
    wakeAll() {
      for (const { worker } of workers.values()) worker.wake(true);
    },
    async run() {
      await synced(deps);
      using _held = pods.onChange(({ type, object }) => {
        if (type === 'deleted') workers.get(object.metadata.uid)?.worker.update(undefined);
        else onPod(object);
      });
      for (const pod of pods.list()) onPod(pod);
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener('abort', () => resolve(), { once: true });
      });
      await Promise.all([...workers.values()].map(({ done }) => done));
    },
  };
}

async function synced({ pods, watch, clock, signal }: PodManagerDeps): Promise<void> {
  await pods.synced(signal);
  while (watch.seenAtMs === 0) await clock.sleep(100, signal);
}

function probesOf(
  { clock, runtime, event }: PodManagerDeps,
  pod: () => Pod,
  podIp: () => string,
  wake: () => void,
): PodProbes {
  return podProbes({
    clock,
    onChange: wake,
    run: (_kind, container, containerId, probe, signal) =>
      runAction(
        probe as HandlerAction,
        { runtime, containerId, container, podIp: podIp() },
        (probe.timeoutSeconds || 1) * 1000,
        signal,
      ),
    onUnhealthy: (kind, _container, output) =>
      event(pod(), 'Warning', 'Unhealthy', `${probeTitle(kind)} probe failed: ${output}`),
  });
}

/** Whether a pod's volumes or environment name a ConfigMap, a Secret or a claim. */
export function refersTo(pod: Pod, kind: ReferenceKind, name: string): boolean {
  const { spec } = pod;
  for (const volume of spec?.volumes ?? []) {
    if (kind === 'claim' && volume.persistentVolumeClaim?.claimName === name) return true;
    if (kind === 'configmap' && volume.configMap?.name === name) return true;
    if (kind === 'secret' && volume.secret?.secretName === name) return true;
    for (const source of volume.projected?.sources ?? [])
      if ((kind === 'configmap' ? source.configMap?.name : source.secret?.name) === name) return true;
  }
  for (const container of [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])]) {
    for (const source of container.envFrom ?? [])
      if ((kind === 'configmap' ? source.configMapRef?.name : source.secretRef?.name) === name) return true;
    for (const { valueFrom } of container.env ?? [])
      if ((kind === 'configmap' ? valueFrom?.configMapKeyRef?.name : valueFrom?.secretKeyRef?.name) === name)
        return true;
  }
  return false;
}
