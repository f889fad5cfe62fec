import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Deployments, Events, PersistentVolumeClaims, Pods } from '../api/core.ts';
import type { KubeObject, ObjectRef, Resource, Stored } from '../api/resource.ts';
import { hasCondition } from '../control/conditions.ts';
import type { Clock } from '../lib/clock.ts';
import { isDeadlineError } from '../lib/deadline.ts';
import type { KubeClient } from '../kube/client.ts';
import { applyManifests, parseManifests } from '../kube/manifests.ts';
import { waitForObject, type WaitOptions } from '../kube/wait.ts';
import type { Progress, Step } from './progress.ts';
import { CephBlockPools, CephClusters, describeStorage, type StorageObject } from './storage-kinds.ts';

const deletionMs = 20_000;

const operator = { namespace: 'rook-ceph', name: 'rook-ceph-operator' };
const cluster = { namespace: 'rook-ceph', name: 'rook-ceph' };
const pool = { namespace: 'rook-ceph', name: 'replicapool' };
const claim = { namespace: 'default', name: 'holdfast-demo' };
const writer = { namespace: 'default', name: 'holdfast-demo-writer' };
const reader = { namespace: 'default', name: 'holdfast-demo-reader' };

export interface DemoOptions {
  readonly client: KubeClient;
  /** The folder that holds ceph/ and demo/. */
  readonly examples: string;
  readonly progress: Progress;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** The main job: a CephCluster, a pool, a claim, a pod that writes, and another that verifies. */
export async function runDemo({ client, examples, progress, clock, signal }: DemoOptions): Promise<void> {
  const apply = async (...path: string[]) => {
    const file = join(examples, ...path);
    await applyManifests(client, parseManifests(await readFile(file, 'utf8'), file), {
      fieldManager: 'holdfast-demo',
      signal,
    });
  };
  const wait = <T extends KubeObject>(
    kind: Resource<T>,
    ref: ObjectRef,
    timeoutMs: number,
    accept: Accept<T>,
  ) => waitSaying(client, kind, ref, { timeoutMs, clock, signal, accept });

  await progress.step('Operator ready', async () => {
    await wait(Deployments, operator, 120_000, (found) => (found?.status?.availableReplicas ?? 0) > 0);
  });

  await progress.step('Ceph cluster', async (step) => {
    const places = [[CephClusters, cluster] as const, [CephBlockPools, pool] as const];
    for (const [kind, ref] of places)
      await notBeingDeleted(client, kind, ref, { step, clock, signal, timeoutMs: deletionMs });
    await apply('ceph', 'cluster.yaml');
    await wait(CephClusters, cluster, 300_000, (found) => {
      say(step, found);
      return found?.status?.phase === 'Ready' && found.status.ceph?.health === 'HEALTH_OK';
    });
    await wait(CephBlockPools, pool, 60_000, (found) => {
      say(step, found);
      return found?.status?.phase === 'Ready';
    });
    step.detail('HEALTH_OK, pool replicapool ready');
  });

  await progress.step('Claim and first pod', async (step) => {
    await apply('ceph', 'storageclass.yaml');
    for (const pod of [writer, reader]) await removePod(client, pod, signal);
    await apply('demo', 'claim.yaml');
    await apply('demo', 'writer.yaml');
    await wait(PersistentVolumeClaims, claim, 60_000, (found) => {
      step.detail(`claim ${found?.status?.phase ?? 'absent'}`);
      return found?.status?.phase === 'Bound';
    });
    await wait(Pods, writer, 120_000, (found) => {
      step.detail(`claim Bound, pod ${found?.status?.phase ?? 'absent'}`);
      failWhereFailed(found);
      return found?.status?.phase === 'Succeeded';
    });
    step.detail('16 MiB written');
    await removePod(client, writer, signal);
  });

  await progress.step('Second pod', async (step) => {
    await apply('demo', 'reader.yaml');
    await wait(Pods, reader, 120_000, (found) => {
      step.detail(`pod ${found?.status?.phase ?? 'absent'}`);
      failWhereFailed(found);
      return hasCondition(found?.status?.conditions, 'Ready');
    });
    const path = `/api/v1/namespaces/${reader.namespace}/pods/${reader.name}/log`;
    const verified = String(await client.request({ method: 'GET', path }, { signal })).trim();
    if (!verified.includes('demo.bin: OK'))
      throw new Error(`the second pod read back something else: ${verified}`);
    step.detail(verified);
  });
}

/** What somebody deleted is waited out: applied now, it would go all the same. */
export async function notBeingDeleted(
  client: KubeClient,
  kind: Resource<StorageObject>,
  ref: ObjectRef,
  { step, ...options }: { readonly step: Step } & WaitOptions,
): Promise<void> {
  let why = '';
  const accept: Accept<StorageObject> = (found) => {
    if (!found?.metadata.deletionTimestamp) return true;
    why = found.status?.message ?? '';
    say(step, found);
    return false;
  };
  try {
    await waitForObject(client, kind, ref, accept, options);
  } catch (cause) {
    if (!isDeadlineError(cause)) throw cause;
    throw new Error(`somebody deleted ${kind.kind} ${ref.name}, and it waits${why ? `: ${why}` : ''}`, {
      cause,
    });
  }
}

type Accept<T extends KubeObject> = (found: Stored<T> | undefined) => boolean;

function say(step: Step, found: Stored<StorageObject> | undefined): void {
  step.detail(describeStorage(found) || 'waiting for the operator');
}

interface PodLike extends KubeObject {
  status?: {
    phase?: string;
    containerStatuses?: readonly { lastState?: { terminated?: { exitCode: number } } }[];
  };
}

/** Neither pod has a reason to end with an error: the reader, which is restarted, would only fail again. */
function failWhereFailed(pod: Stored<PodLike> | undefined): void {
  const ended = pod?.status?.containerStatuses?.some(
    (one) => (one.lastState?.terminated?.exitCode ?? 0) !== 0,
  );
  if (pod && (ended || pod.status?.phase === 'Failed'))
    throw new Error(`pod ${pod.metadata.name} failed; see its logs`);
}

async function removePod(client: KubeClient, ref: ObjectRef, signal: AbortSignal): Promise<void> {
  await client.delete(Pods, ref, { signal });
  await waitForObject(client, Pods, ref, (found) => found === undefined, { signal, timeoutMs: 60_000 });
}

interface SayingWait<T extends KubeObject> extends WaitOptions {
  readonly accept: Accept<T>;
}

/** Waits; where that takes too long, the error carries the object's last warning event. */
async function waitSaying<T extends KubeObject>(
  client: KubeClient,
  kind: Resource<T>,
  ref: ObjectRef,
  { accept, ...options }: SayingWait<T>,
): Promise<void> {
  try {
    await waitForObject(client, kind, ref, accept, options);
  } catch (cause) {
    if (!isDeadlineError(cause)) throw cause;
    const selection = {
      namespace: ref.namespace,
      fieldSelector: `involvedObject.name=${ref.name},type=Warning`,
    };
    const events = await client.list(Events, selection, { signal: options.signal });
    const last = events.items.at(-1);
    const why = last ? `: ${last.reason}: ${last.message}` : '';
    throw new Error(`${kind.kind} ${ref.name} was not ready within ${options.timeoutMs / 1000} s${why}`, {
      cause,
    });
  }
}
