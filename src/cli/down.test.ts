import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../lib/clock.ts';
import { identifyProcess } from '../lib/process-identity.ts';
import { layout } from '../standalone/layout.ts';
import { stopEverything } from './down.ts';

let dataDir: string;
const children: ChildProcess[] = [];
beforeEach(async () => {
  dataDir = await realpath(await mkdtemp(join(tmpdir(), 'down-')));
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await rm(dataDir, { recursive: true });
});

/** A supervisor that answers on its socket, does `atEnd` when it is told to end, and ends. */
const standIn = (socket: string, atEnd: string) => `
  require('node:http').createServer((call, answer) => {
    answer.end(JSON.stringify({ pid: process.pid, release: 'r', units: [], stopping: false }));
    if (call.method === 'POST') { ${atEnd}; process.exit(1); }
  }).listen(${JSON.stringify(socket)}, () => console.log('there'));`;

async function startStandIn(atEnd: string): Promise<void> {
  const places = layout(dataDir);
  await mkdir(places.records, { recursive: true });
  const child = spawn(process.execPath, ['-e', standIn(places.supervisorSocket, atEnd)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  const identity = await identifyProcess(child.pid as number);
  await writeFile(places.supervisorRecord, JSON.stringify({ identity, release: 'r', disks: '3' }));
}

const stop = () =>
  stopEverything(
    layout(dataDir),
    { clock: systemClock, signal: AbortSignal.timeout(10_000), dataDir },
    () => undefined,
  );
const record = (unit: string) => writeFile(join(layout(dataDir).records, `${unit}.json`), '{}');

test('a supervisor that ends before all else has is told of, with what is left', async () => {
  await startStandIn('');
  await record('etcd');
  await record('node1-init');
  await expect(stop()).rejects.toThrow(
    `not everything could be ended (etcd, node1-init); holdfast logs --data-dir ${dataDir} supervisor says why, holdfast down --data-dir ${dataDir} tries again`,
  );
});

test('one that ended everything is all that is needed, and where none ran nothing was', async () => {
  await startStandIn(
    `require('node:fs').rmSync(${JSON.stringify(layout(dataDir).records)}, { recursive: true })`,
  );
  await record('etcd');
  expect(await stop()).toBe(true);
  expect(await stop()).toBe(false);
});
