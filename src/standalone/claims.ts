import { readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import type { Clock } from '../lib/clock.ts';
import { takeLockFile } from '../lib/lock-file.ts';
import { identifyProcess, isRunning, type ProcessIdentity } from '../lib/process-identity.ts';
import { readInstance, type OpenInstance } from './instance.ts';
import { layout } from './layout.ts';
import type { Ranges } from './plan.ts';
import { findSupervisor } from './supervisor/start-supervisor.ts';

/** What an instance has of the machine that no other may have at the same time. */
export interface Claim {
  readonly dataDir: string;
  readonly ports: readonly number[];
  readonly ranges: readonly string[];
  /** Its supervisor runs, or an `up` is about to start it. One that is down still keeps what it chose. */
  readonly live: boolean;
}

interface ClaimRecord {
  readonly id: string;
  readonly dataDir: string;
  /** The `up` that wrote it: until its supervisor runs, only this says that the claim is in use. */
  readonly holder: ProcessIdentity | undefined;
}

export interface Claims {
  /** Those of all other instances of this machine. */
  readonly others: readonly Claim[];
  /** Makes an instance's choices its own, until it is purged or the machine starts anew. */
  put(instance: OpenInstance): Promise<void>;
}

export interface ClaimsOptions {
  /** One folder for all instances of the machine, such as /run/holdfast. */
  readonly claimsDir: string;
  /** The instance that asks: its own claim is none of another's. */
  readonly dataDir: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const suffix = '.json';

/**
 * Runs `body` while no other `up` of this machine chooses: ports and routes that are free show who has them
 * only once an instance runs, so two that start together would choose the same.
 */
export async function withClaims<T>(
  options: ClaimsOptions,
  body: (claims: Claims) => Promise<T>,
): Promise<T> {
  const { claimsDir, dataDir, clock, signal } = options;
  await using _held = await takeLockFile(join(claimsDir, 'lock'), { clock, signal });
  const others: Claim[] = [];
  for (const name of (await readdir(claimsDir)).filter((one) => one.endsWith(suffix))) {
    const claim = await readClaim(join(claimsDir, name));
    if (!claim) await rm(join(claimsDir, name), { force: true });
    else if (claim.dataDir !== dataDir) others.push(claim);
  }
  return await body({
    others,
    async put({ config }) {
      const record: ClaimRecord = { id: config.id, dataDir, holder: await identifyProcess(process.pid) };
      await writeFileAtomic(join(claimsDir, `${config.id}${suffix}`), JSON.stringify(record));
    },
  });
}

/** Undefined where the instance was removed, or another stands in its place. */
async function readClaim(path: string): Promise<Claim | undefined> {
  const { id, dataDir, holder } = JSON.parse(await readFile(path, 'utf8')) as ClaimRecord;
  const config = (await readInstance(dataDir).catch(() => undefined))?.config;
  if (config?.id !== id) return undefined;
  const isHeld = holder !== undefined && (await isRunning(holder));
  return {
    dataDir,
    ports: [config.apiPort, config.etcdPort, config.etcdPeerPort],
    ranges: rangesOf(config),
    live: isHeld || (await findSupervisor(layout(dataDir))) !== undefined,
  };
}

export const rangesOf = ({ serviceCidr, podCidr, fabricCidr }: Ranges): string[] => [
  serviceCidr,
  podCidr,
  fabricCidr,
];

/** Takes back what a purged instance had. */
export async function dropClaim(claimsDir: string, id: string): Promise<void> {
  await rm(join(claimsDir, `${id}${suffix}`), { force: true });
}
