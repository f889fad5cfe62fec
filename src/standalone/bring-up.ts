import { mkdir, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Node } from 'kubernetes-types/core/v1.js';
import { CustomResourceDefinitions, Nodes } from '../api/core.ts';
import { lostByReplacing } from '../api/crd-superset.ts';
import { refOf, type KubeObject } from '../api/resource.ts';
import type { KubeClient } from '../kube/client.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { applyManifests, parseManifests } from '../kube/manifests.ts';
import { createKubeClient } from '../kube/undici-client.ts';
import { waitForObject } from '../kube/wait.ts';
import { withDeadline } from '../lib/deadline.ts';
import { takeLockFile } from '../lib/lock-file.ts';
import { checkDataDir, type OpenInstance } from './instance.ts';
import { layout, type Layout } from './layout.ts';
import { canLoadDeviceProgram } from './machine/device-guard.ts';
import { probeMachine, refusal } from './machine/probe.ts';
import { planOf } from './plan.ts';
import { prepareInstance, type PreparedInstance, type PrepareOptions } from './prepare-instance.ts';
import { releaseFiles } from './supervisor/server-unit.ts';
import {
  findSupervisor,
  startSupervisor,
  stopSupervisor,
  supervisorStatus,
  untilSupervisorGone,
} from './supervisor/start-supervisor.ts';
import { hasCondition } from '../control/conditions.ts';

/** Runs one step of the way up; the CLI shows it. */
export type RunStep = <T>(title: string, body: (detail: (text: string) => void) => Promise<T>) => Promise<T>;

export interface BringUpOptions extends PrepareOptions {
  readonly step: RunStep;
}

export interface BroughtUp {
  readonly instance: OpenInstance;
  readonly kubeconfig: string;
}

/** This machine lacks something that standalone stands on; the message says what. */
export class MachineError extends Error {
  readonly code = 'MACHINE';
}

const stepTimeoutMs = 60_000;
const endTimeoutMs = 150_000;

/**
 * Brings an instance up, or completes one that is up already: every step looks at what is there first, so
 * that it can be repeated after a Ctrl-C at any point. Two at once take turns.
 */
export async function bringUp(options: BringUpOptions): Promise<BroughtUp> {
  const { dataDir, clock, signal, step } = options;
  await checkDataDir(dataDir);
  await step('Machine', async (detail) => {
    const machine = await probeMachine({
      uid: process.getuid?.(),
      canLoadDeviceProgram: () => canLoadDeviceProgram(options.tree.path, { signal }),
    });
    const why = refusal(machine);
    if (why !== undefined) throw new MachineError(why);
    const weaker = machine.findings.filter((finding) => finding.verdict === 'weaker');
    if (weaker.length > 0) detail(weaker.map((finding) => finding.reason).join('; '));
  });
  const places = layout(dataDir);
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await using _held = await step('Instance', (detail) =>
    takeLockFile(places.upLock, {
      clock,
      signal,
      onWait: (pid) => detail(`waiting for process ${pid}, which is at work here`),
    }),
  );
  const prepared = await step('Files', () => prepareInstance(options));
  await step('Processes', (detail) => ensureSupervisor(prepared, places, options, detail));
  const client = createKubeClient(await loadKubeConfig(places.kubeconfig), {
    clock,
    fieldManager: 'holdfast-up',
  });
  try {
    await step('API', (detail) => waitForApi(client, places, options, detail));
    await step('Operator and CSI definitions', (detail) => applyDeploy(client, prepared, options, detail));
    await step('Node', (detail) => waitForNodes(client, prepared.instance, places, options, detail));
  } finally {
    await client.close();
  }
  return { instance: prepared.instance, kubeconfig: places.kubeconfig };
}

/** A running supervisor of the same release is left alone; one of another hands its processes over. */
async function ensureSupervisor(
  { instance, supervisor }: PreparedInstance,
  places: Layout,
  { clock, signal }: BringUpOptions,
  detail: (text: string) => void,
): Promise<void> {
  const wait = { clock, signal, timeoutMs: stepTimeoutMs };
  if ((await supervisorStatus(places))?.stopping) {
    detail('waiting for the instance to end, as somebody asked before');
    await untilSupervisorGone(places, { ...wait, timeoutMs: endTimeoutMs });
  }
  const running = await findSupervisor(places);
  if (running) {
    const disks = instance.config.nodes.map((node) => node.disks).join();
    const same = running.release === supervisor.release && running.disks === disks;
    if (same) return;
    detail('handing over to the new release');
    await stopSupervisor(places, 'handover', wait);
  }
  const command = {
    ...releaseFiles(places.releases, supervisor.release),
    logFile: join(places.logs, 'supervisor.log'),
  };
  await startSupervisor(places, command, wait);
}

async function waitForApi(
  client: KubeClient,
  places: Layout,
  { clock, signal }: BringUpOptions,
  detail: (text: string) => void,
): Promise<void> {
  let last: unknown;
  try {
    await withDeadline('the API', stepTimeoutMs, signal, async (own) => {
      for (;;) {
        try {
          await client.request({ method: 'GET', path: '/readyz' }, { signal: own, timeoutMs: 10_000 });
          return detail('');
        } catch (error) {
          own.throwIfAborted();
          last = error;
          detail(await unitsLine(places));
          await clock.sleep(50, own);
        }
      }
    });
  } catch (error) {
    signal.throwIfAborted();
    const units = await unitsLine(places);
    const why = [units, last instanceof Error ? last.message : ''].filter((part) => part).join('; ');
    throw new Error(`the API did not answer${why ? ` (${why})` : ''}; holdfast logs server says more`, {
      cause: error,
    });
  }
}

/** What the supervisor's units are at, for a person who waits. */
async function unitsLine(places: Layout): Promise<string> {
  const status = await supervisorStatus(places);
  const notRunning = status?.units.filter((unit) => unit.phase !== 'running') ?? [];
  return notRunning
    .map((unit) => `${unit.name} ${unit.phase}${unit.message ? `: ${unit.message}` : ''}`)
    .join(', ');
}

/** The very files that a Kubernetes cluster gets; only the image is the one that was just built. */
async function applyDeploy(
  client: KubeClient,
  { image, supervisor }: PreparedInstance,
  { dataDir, signal, clock }: BringUpOptions,
  detail: (text: string) => void,
): Promise<void> {
  const { deploy } = releaseFiles(layout(dataDir).releases, supervisor.release);
  const folders = [join(deploy, 'crds'), deploy];
  for (const folder of folders) {
    const names = (await readdir(folder)).filter((name) => name.endsWith('.yaml')).toSorted();
    for (const name of names) {
      const objects = parseManifests(await readFile(join(folder, name), 'utf8'), `deploy/${name}`);
      await applyManifests(
        client,
        (await withoutLosses(client, objects, signal, detail)).map((object) => withImage(object, image)),
        {
          fieldManager: 'holdfast-up',
          signal,
          clock,
          namespace: 'rook-ceph',
        },
      );
    }
  }
}

/** Leaves out a CRD where a newer one is installed: with ours the API would drop fields that are in use. */
async function withoutLosses(
  client: KubeClient,
  objects: readonly KubeObject[],
  signal: AbortSignal,
  detail: (text: string) => void,
): Promise<KubeObject[]> {
  const kept: KubeObject[] = [];
  for (const object of objects) {
    const installed =
      object.kind === 'CustomResourceDefinition' &&
      (await client.get(CustomResourceDefinitions, refOf(object), { signal }));
    const lost = installed ? lostByReplacing(installed, object) : [];
    if (lost.length === 0) kept.push(object);
    else detail(`${object.metadata?.name} stays as installed: ours lacks ${lost.slice(0, 3).join(', ')}`);
  }
  return kept;
}

interface WithContainers extends KubeObject {
  spec?: { template?: { spec?: { containers?: { image?: string }[] } } };
}

function withImage(object: KubeObject, image: string): KubeObject {
  const copy = structuredClone(object) as WithContainers;
  for (const container of copy.spec?.template?.spec?.containers ?? []) {
    if (container.image === 'holdfast:latest') container.image = image;
  }
  return copy;
}

async function waitForNodes(
  client: KubeClient,
  instance: OpenInstance,
  places: Layout,
  { clock, signal }: BringUpOptions,
  detail: (text: string) => void,
): Promise<void> {
  for (const { name } of planOf(instance.config).nodes) {
    detail(`${name}: ${(await unitsLine(places)) || 'starting'}`);
    const isReady = (node: Node | undefined) => hasCondition(node?.status?.conditions, 'Ready');
    try {
      await waitForObject(client, Nodes, { name }, isReady, { clock, signal, timeoutMs: stepTimeoutMs });
    } catch (cause) {
      signal.throwIfAborted();
      throw new Error(
        `node ${name} did not become Ready (${await unitsLine(places)}); holdfast logs ${name} says more`,
        { cause },
      );
    }
    detail(`${name} Ready`);
  }
}
