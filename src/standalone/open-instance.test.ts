import { mkdir, mkdtemp, readFile, readdir, realpath, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { virtualClock } from '../lib/clock.ts';
import { identifyProcess } from '../lib/process-identity.ts';
import { dropClaim } from './claims.ts';
import { freePort } from './free-port.ts';
import { saveInstance, type OpenInstance } from './instance.ts';
import { layout } from './layout.ts';
import { openOrCreate } from './open-instance.ts';

let base: string;
let claimsDir: string;
beforeEach(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), 'open-instance-')));
  claimsDir = join(base, 'claims');
});
afterEach(() => rm(base, { recursive: true }));

const signal = new AbortController().signal;
const gone = { pid: process.pid, startTicks: 1 }; // This pid, but an earlier process.

/** Opens instances side by side, the clock going on for those that wait. */
async function open(...names: readonly string[]): Promise<OpenInstance[]> {
  const clock = virtualClock();
  const options = { claimsDir, disks: undefined, diskSizeBytes: undefined, clock, nowMs: 0, signal };
  const all = Promise.all(names.map((name) => openOrCreate({ ...options, dataDir: join(base, name) })));
  const state = { ended: false };
  const note = () => void (state.ended = true);
  all.then(note, note);
  while (!state.ended) await clock.advance(100);
  return await all;
}

const portsOf = ({ config }: OpenInstance) => [config.apiPort, config.etcdPort, config.etcdPeerPort];

/** As after the machine's restart or a `down`: no `up` holds the claim, no supervisor runs. */
async function bringDown(instance: OpenInstance): Promise<void> {
  const path = join(claimsDir, `${instance.config.id}.json`);
  await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), holder: gone }));
}

test('instances that are made at the same moment share no port and no range', async () => {
  const made = await open('a', 'b', 'c');
  expect(new Set(made.flatMap(portsOf)).size).toBe(9);
  expect(new Set(made.map(({ config }) => config.podCidr)).size).toBe(3);
  expect(new Set(made.map(({ config }) => config.fabricCidr)).size).toBe(3);
  expect((await readdir(claimsDir)).toSorted()).toEqual(
    made.map(({ config }) => `${config.id}.json`).toSorted(),
  );
});

test('one that is down keeps its ports, and its ranges while there are others', async () => {
  const [first] = await open('a');
  if (!first) throw new Error('no instance');
  await bringDown(first);
  const [second] = await open('b');
  expect(second && portsOf(second)).not.toEqual(portsOf(first));
  expect(second?.config.podCidr).not.toBe(first.config.podCidr);
  // The same again changes nothing.
  expect(await open('a')).toEqual([first]);
});

test('ranges of instances that are down are given again before an up fails', async () => {
  const made = await open('a', 'b', 'c');
  for (const one of made) await bringDown(one);
  const names = ['d', 'e', 'f', 'g'];
  const more: OpenInstance[] = [];
  for (const name of names) {
    const [one] = await open(name).catch(() => []);
    if (one) more.push(one);
  }
  expect(more.length).toBeGreaterThanOrEqual(3);
  expect(new Set(more.map(({ config }) => config.podCidr)).size).toBe(more.length);
});

test('what another one has that is up, or coming up, is not taken from it', async () => {
  const [first, second] = await open('a', 'b');
  if (!first || !second) throw new Error('no instances');
  const { apiPort, podCidr } = first.config;
  await saveInstance({ ...second, config: { ...second.config, apiPort } });
  await expect(open('b')).rejects.toThrow(
    `port ${apiPort}, and so has the one in ${join(base, 'a')}, which is up`,
  );
  await saveInstance({ ...second, config: { ...second.config, podCidr } });
  await expect(open('b')).rejects.toThrow(`addresses in ${podCidr}, and so has`);

  await bringDown(first);
  expect(await open('b')).toHaveLength(1);
  // Its `up` has ended, but its supervisor runs.
  const places = layout(join(base, 'a'));
  await mkdir(places.run, { recursive: true });
  const record = { identity: await identifyProcess(process.pid), release: '', disks: '' };
  await writeFile(places.supervisorRecord, JSON.stringify(record));
  await expect(open('b')).rejects.toThrow(join(base, 'a'));
});

test('a purged instance gives everything back', async () => {
  const [first] = await open('a');
  if (!first) throw new Error('no instance');
  await dropClaim(claimsDir, first.config.id);
  await rm(join(base, 'a'), { recursive: true });
  const [second] = await open('b');
  expect(second && portsOf(second)).toEqual(portsOf(first));
  // Removed by hand, the claim is found to be nobody's.
  await rm(join(base, 'b'), { recursive: true });
  await open('c');
  expect(await readdir(claimsDir)).toHaveLength(1);
});

test('a port that somebody listens on, or that is taken, is passed over', async () => {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  try {
    expect(await freePort(port, new Set())).toBeGreaterThan(port);
    const free = await freePort(port, new Set());
    expect(await freePort(port, new Set([free]))).toBeGreaterThan(free);
  } finally {
    server.close();
  }
});
