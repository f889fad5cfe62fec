import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { virtualClock } from '../../lib/clock.ts';
import { takeLockFile } from '../../lib/lock-file.ts';
import { silentLogger } from '../../lib/log.ts';
import { signalProcess } from '../../lib/process-identity.ts';
import { layout } from '../layout.ts';
import { keepSupervisor } from './keep-supervisor.ts';
import { findSupervisor } from './start-supervisor.ts';

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'keep-'));
  await mkdir(layout(dataDir).logs, { recursive: true });
  await mkdir(layout(dataDir).run, { recursive: true });
});
afterEach(async () => {
  const left = await findSupervisor(layout(dataDir));
  if (left) await signalProcess(left.identity, 'SIGKILL');
  await rm(dataDir, { recursive: true });
});

/** A bundle whose only role writes the record and answers on the socket. */
async function writeBundle(): Promise<string> {
  const { supervisorRecord, supervisorSocket } = layout(dataDir);
  const bundle = join(dataDir, 'bundle.cjs');
  await writeFile(
    bundle,
    `const fs = require('node:fs');
     const fields = fs.readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1).split(' ');
     const status = JSON.stringify({ pid: process.pid, release: 'r', units: [], stopping: false });
     fs.rmSync(${JSON.stringify(supervisorSocket)}, { force: true });
     require('node:http').createServer((_, answer) => answer.end(status)).listen(${JSON.stringify(supervisorSocket)}, () => {
       const identity = { pid: process.pid, startTicks: Number(fields[19]) };
       fs.writeFileSync(${JSON.stringify(`${supervisorRecord}.draft`)}, JSON.stringify({ identity, release: 'r', disks: '3' }));
       fs.renameSync(${JSON.stringify(`${supervisorRecord}.draft`)}, ${JSON.stringify(supervisorRecord)});
     });`,
  );
  return bundle;
}

test('a supervisor that is gone is started again, though not while up or down is at work', async () => {
  const places = layout(dataDir);
  const clock = virtualClock();
  const stop = new AbortController();
  const { signal } = stop;
  const command = {
    node: process.execPath,
    bundle: await writeBundle(),
    logFile: join(places.logs, 'supervisor.log'),
  };
  const atWork = await takeLockFile(places.upLock, { clock, signal });
  const keeping = keepSupervisor(places, command, { clock, log: silentLogger, signal });
  const nextLook = async () => {
    while (clock.sleeping === 0) await clock.advance(0);
    await clock.advance(1000);
  };
  for (let looks = 0; looks < 5; looks++) await nextLook();
  expect(await findSupervisor(places)).toBeUndefined();

  await atWork[Symbol.asyncDispose]();
  const appears = async () => {
    for (;;) {
      await nextLook();
      const found = await findSupervisor(places);
      if (found) return found;
    }
  };
  const first = await appears();
  await signalProcess(first.identity, 'SIGKILL');
  while (await findSupervisor(places)) await clock.advance(0);
  expect((await appears()).identity.pid).not.toBe(first.identity.pid);
  stop.abort();
  await keeping;
}, 20_000);
