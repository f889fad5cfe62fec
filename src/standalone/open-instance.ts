import { readFile } from 'node:fs/promises';
import type { Clock } from '../lib/clock.ts';
import { rangesOf, withClaims, type Claim, type Claims } from './claims.ts';
import { freePort } from './free-port.ts';
import { createInstance, readInstance, saveInstance, type OpenInstance } from './instance.ts';
import { hostLink } from './machine/fabric.ts';
import { chooseRanges, meetsRoute, parseRoutes } from './plan.ts';

export interface OpenOptions {
  readonly dataDir: string;
  /** One folder for all instances of the machine, such as /run/holdfast. */
  readonly claimsDir: string;
  /** What the user asked for; what an instance has is kept where undefined. */
  readonly disks: number | undefined;
  readonly diskSizeBytes: number | undefined;
  readonly clock: Clock;
  readonly nowMs: number;
  readonly signal: AbortSignal;
}

/** What was asked for does not fit what is there; the message says what would. */
export class InstanceError extends Error {
  readonly code = 'INSTANCE';
}

const defaultDisks = 3;
const defaultDiskBytes = 10 * 1024 ** 3;
const maxDisks = 32;

/** The instance of `dataDir`, made where there is none, with addresses that no other instance has. */
export async function openOrCreate(options: OpenOptions): Promise<OpenInstance> {
  const { dataDir, disks, diskSizeBytes } = options;
  if (disks !== undefined && (!Number.isInteger(disks) || disks < 0 || disks > maxDisks)) {
    throw new InstanceError(`--disks ${disks}: give a whole number from 0 to ${maxDisks}`);
  }
  return await withClaims(options, async (claims) => {
    const there = await readInstance(dataDir);
    if (there) await refuseTaken(there, claims);
    const instance = there
      ? await withDisks(there, disks, diskSizeBytes)
      : await create(options, claims.others);
    await claims.put(instance);
    return instance;
  });
}

async function create(
  { dataDir, disks, diskSizeBytes, nowMs }: OpenOptions,
  others: readonly Claim[],
): Promise<OpenInstance> {
  const routes = parseRoutes(await readFile('/proc/net/route', 'utf8'));
  const claimed = (claims: readonly Claim[]) => [...routes, ...claims.flatMap(({ ranges }) => ranges)];
  // There are few sets: where each has an owner, one that is down is not in the way.
  const ranges = chooseRanges(claimed(others)) ?? chooseRanges(claimed(others.filter(({ live }) => live)));
  if (!ranges)
    throw new InstanceError(
      'every address range that Holdfast could use is routed elsewhere on this machine',
    );
  const taken = new Set(others.flatMap(({ ports }) => ports));
  const choose = async (wanted: number) => {
    const port = await freePort(wanted, taken);
    taken.add(port);
    return port;
  };
  const choices = {
    apiPort: await choose(6443),
    etcdPort: await choose(23790),
    etcdPeerPort: await choose(23800),
    ...ranges,
    nodes: [
      { name: 'node1', disks: disks ?? defaultDisks, diskSizeBytes: diskSizeBytes ?? defaultDiskBytes },
    ],
  };
  return await createInstance(dataDir, choices, nowMs);
}

/** All was free when it was chosen; while this instance was down, another may have taken it. */
async function refuseTaken({ config }: OpenInstance, { others }: Claims): Promise<void> {
  const live = others.filter((other) => other.live);
  const ports = [config.apiPort, config.etcdPort, config.etcdPeerPort];
  for (const other of live) {
    const port = ports.find((one) => other.ports.includes(one));
    const met = port === undefined ? meetsRoute(config, other.ranges) : undefined;
    if (port !== undefined || met !== undefined)
      throw new InstanceError(
        `this instance has ${port === undefined ? `addresses in ${met}` : `port ${port}`}, and so has the one in ${other.dataDir}, which is up: end that first, with holdfast down --data-dir ${other.dataDir}`,
      );
  }
  const routes = parseRoutes(await readFile('/proc/net/route', 'utf8'), hostLink(config.id));
  const met = meetsRoute(config, routes);
  if (met !== undefined)
    throw new InstanceError(
      `this instance's addresses are in ${rangesOf(config).join(', ')}, but the host has a route to ${met}: is another instance up that took them?`,
    );
}

/** Disks can be added to a node that has some; they hold data, so none is taken away or cut. */
async function withDisks(
  there: OpenInstance,
  disks: number | undefined,
  sizeBytes: number | undefined,
): Promise<OpenInstance> {
  const [first, ...others] = there.config.nodes;
  if (!first) throw new InstanceError('this instance has no node');
  if (disks !== undefined && disks < first.disks) {
    throw new InstanceError(
      `--disks ${disks}: this instance has ${first.disks}; disks can be added, not taken away`,
    );
  }
  if (sizeBytes !== undefined && sizeBytes !== first.diskSizeBytes) {
    throw new InstanceError(
      `--disk-size: the disks of this instance have ${first.diskSizeBytes} bytes, and keep them`,
    );
  }
  if (disks === undefined || disks === first.disks) return there;
  const config = { ...there.config, nodes: [{ ...first, disks }, ...others] };
  await saveInstance({ ...there, config });
  return { ...there, config };
}
