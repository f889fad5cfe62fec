import { readFile } from 'node:fs/promises';
import { ConfigMaps } from '../../api/core.ts';
import { formatCephVersion, type CephVersion } from '../../ceph/versions.ts';
import type { KubeClient } from '../../kube/client.ts';
import { waitForObject } from '../../kube/wait.ts';
import type { Clock } from '../../lib/clock.ts';
import { isDeadlineError } from '../../lib/deadline.ts';
import type { Logger } from '../../lib/log.ts';
import { mapLimit } from '../../lib/map-limit.ts';
import { fieldManager } from '../objects.ts';
import { readOwnCephVersion } from '../own-image.ts';
import { readBluestoreLabel, type BluestoreLabel } from '../../host/bluestore-label.ts';
import { formatOsd, type OsdFormatter } from './format-osd.ts';
import { findForeignMons } from './leftovers.ts';
import { judgeDisk, type Judgement } from './judge.ts';
import { PrepareConfig, readAssignments, type DiskReport, type NodeReport } from './report.ts';
import type { DiskScan } from './scanned-disk.ts';
import { missingDevices } from './select.ts';

export interface PrepareDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** The node’s disks with a verdict each. */
  readonly scan: DiskScan;
  /** dataDirHostPath as this pod sees it. */
  readonly dataDir?: string;
  readonly format?: OsdFormatter;
  readonly readLabel?: (device: string) => Promise<BluestoreLabel | undefined>;
  /** Of the ceph-osd that would be run here. */
  readonly cephVersion?: (signal: AbortSignal) => Promise<CephVersion | undefined>;
}

/** This pod's ceph-osd is not of the cluster's version: an OSD that it made might not start. */
export class CephVersionError extends Error {
  readonly code = 'CEPH_VERSION';

  constructor(wanted: string, found: CephVersion | undefined) {
    const text = found ? `ceph-osd ${formatCephVersion(found)}` : 'no ceph-osd';
    super(`this image has ${text}, and the cluster runs ${wanted}; nothing was written`);
    this.name = 'CephVersionError';
  }
}

const assignLimitMs = 60_000;
const formatsAtOnce = 6; // mkfs waits for the disk more than for the CPU.

type ToMake = Extract<Judgement, { action: 'make' }>;

/**
 * Looks at the node’s disks, says of each what becomes of it and why, and makes OSDs on those that are
 * blank and selected. Every disk has its own limit: one that hangs is reported as failed and holds up no
 * other. Run again after a crash it finds what is made, and finishes what is not.
 */
export async function runOsdPrepare(
  options: { readonly configFile: string },
  deps: PrepareDeps,
): Promise<void> {
  const config = PrepareConfig.parse(JSON.parse(await readFile(options.configFile, 'utf8')));
  const foreignMons = config.monKey
    ? await findForeignMons(deps.dataDir ?? '/var/lib/holdfast-host-data', config.monKey)
    : [];
  const [disks] = await Promise.all([deps.scan(deps.signal), checkVersion(config, deps)]);
  const judgements = await judgeAll(disks, config, deps);
  const absent = missingDevices(disks, config.selection).map((device): DiskReport => ({
    device,
    verdict: 'Failed',
    reason: 'DeviceMissing',
    message: 'spec.storage names it, but this node has no such device',
  }));
  const reports = [...judgements.map((one) => one.report), ...absent];
  const report = reporter(config, deps, reports, foreignMons);
  const toMake = judgements.filter((one): one is ToMake => one.action === 'make');
  await report.send(toMake.length > 0 ? 'Preparing' : 'Completed');
  if (toMake.length === 0) return;

  const ids = await awaitNumbers(config, toMake, deps);
  await mapLimit(toMake, formatsAtOnce, async (one) => {
    const at = judgements.indexOf(one);
    reports[at] = await make(one, ids.get(one.uuid), config, deps, async (next) => {
      reports[at] = next;
      await report.send('Preparing');
    });
    await report.send('Preparing');
  });
  await report.send('Completed');
}

async function checkVersion({ cephVersion }: PrepareConfig, deps: PrepareDeps): Promise<void> {
  if (cephVersion === undefined) return;
  const found = await (deps.cephVersion ?? readOwnCephVersion)(deps.signal);
  if (!found || formatCephVersion(found) !== cephVersion) throw new CephVersionError(cephVersion, found);
}

async function judgeAll(
  disks: Awaited<ReturnType<DiskScan>>,
  config: PrepareConfig,
  deps: PrepareDeps,
): Promise<Judgement[]> {
  const readLabel = deps.readLabel ?? readBluestoreLabel;
  const labels = await mapLimit(
    disks,
    8,
    async (disk) =>
      // A disk that cannot be read has its refusal from the scan; a label is only ever a reason to leave it.
      await readLabel(disk.paths[0] ?? `/dev/${disk.name}`).catch(() => undefined),
  );
  const taken = new Set(labels.flatMap((label) => label?.osdUuid ?? []));
  const free = config.slots.map((slot) => slot.uuid).filter((uuid) => !taken.has(uuid));
  return disks.map((disk, index) => judgeDisk(disk, labels[index], config, () => free.shift()));
}

/** Waits until the operator has given each OSD its number; those it did not in time are left out. */
async function awaitNumbers(
  config: PrepareConfig,
  toMake: readonly ToMake[],
  { client, clock, signal }: PrepareDeps,
): Promise<ReadonlyMap<string, number>> {
  const ref = { namespace: config.namespace, name: config.statusConfigMap };
  const uuids = toMake.map((one) => one.uuid);
  const numbers = (map: Parameters<typeof readAssignments>[0]) => readAssignments(map);
  try {
    const map = await waitForObject(
      client,
      ConfigMaps,
      ref,
      (current) => uuids.every((uuid) => numbers(current)[uuid] !== undefined),
      { signal, timeoutMs: assignLimitMs, clock },
    );
    return new Map(Object.entries(numbers(map)));
  } catch (error) {
    if (!isDeadlineError(error)) throw error;
    return new Map(Object.entries(numbers(await client.get(ConfigMaps, ref, { signal }))));
  }
}

async function make(
  one: ToMake,
  id: number | undefined,
  config: PrepareConfig,
  deps: PrepareDeps,
  progress: (report: DiskReport) => Promise<void>,
): Promise<DiskReport> {
  const { message: _, ...report } = one.report;
  const key = config.slots.find((slot) => slot.uuid === one.uuid)?.key;
  if (id === undefined || key === undefined)
    return {
      ...report,
      verdict: 'Failed',
      reason: 'AwaitingId',
      message: 'the operator gave it no number in time; the next run tries again',
    };
  await progress({ ...report, reason: 'FormattingOsd', osdId: id });
  try {
    await (deps.format ?? formatOsd)(
      { device: one.disk.paths[0] ?? `/dev/${one.disk.name}`, id, uuid: one.uuid, key, fsid: config.fsid },
      { signal: deps.signal, timeoutMs: config.diskTimeoutSeconds * 1000 },
    );
    return { ...report, verdict: 'InUse', reason: 'OsdPrepared', osdId: id };
  } catch (error) {
    deps.signal.throwIfAborted();
    deps.log.error({ err: error, device: one.report.device }, 'making an OSD failed');
    const message = error instanceof Error ? error.message.slice(-500) : String(error);
    return { ...report, verdict: 'Failed', reason: 'FormatFailed', osdId: id, message };
  }
}

/** Sends reports one after the other, the newest state each time. */
function reporter(
  config: PrepareConfig,
  { client, signal }: PrepareDeps,
  disks: readonly DiskReport[],
  foreignMons: readonly string[],
) {
  let last: Promise<unknown> = Promise.resolve();
  const sendNow = async (phase: NodeReport['phase']) => {
    const report: NodeReport = {
      node: config.node,
      run: config.run,
      phase,
      disks: [...disks],
      foreignMons: [...foreignMons],
    };
    await client.patch(
      ConfigMaps,
      { namespace: config.namespace, name: config.statusConfigMap },
      { type: 'merge', body: { data: { report: JSON.stringify(report) } } },
      { signal, fieldManager },
    );
  };
  return {
    async send(phase: NodeReport['phase']): Promise<void> {
      const mine = last.then(() => sendNow(phase));
      last = mine.catch(() => undefined);
      await mine;
    },
  };
}
