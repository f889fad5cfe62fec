import { mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { spawn, type ChildProcess } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { identifyProcess, isRunning, type ProcessIdentity } from '../../lib/process-identity.ts';
import { layout } from '../layout.ts';
import { askSupervisor, type SupervisorStatus } from './control-socket.ts';
import { runSupervisor, type SupervisorOptions } from './supervisor.ts';
import { recordedProcesses, type Unit } from './unit.ts';

let dataDir: string;
const children: ChildProcess[] = [];
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'supervisor-'));
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await rm(dataDir, { recursive: true });
});

const unit = (name: string, change: Partial<Unit> = {}): Unit => ({
  name,
  needs: [],
  version: 'v1',
  async start() {
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    children.push(child);
    await new Promise((resolve) => child.once('spawn', resolve));
    return (await identifyProcess(child.pid as number)) as ProcessIdentity;
  },
  async stop(identity) {
    if (identity && (await isRunning(identity))) process.kill(identity.pid, 'SIGKILL');
  },
  ...change,
});

const places = () => layout(dataDir);
const status = async () =>
  (await askSupervisor(places().supervisorSocket, 'GET', '/status')) as SupervisorStatus | undefined;

/** Runs a supervisor until its units run, then asks it for `down`; answers how it ended. */
async function downOf(units: readonly Unit[], change: Partial<SupervisorOptions>): Promise<unknown> {
  await mkdir(places().run, { recursive: true });
  const ended = runSupervisor({
    places: places(),
    units: () => units,
    release: 'r',
    disks: '1',
    clock: systemClock,
    log: silentLogger,
    signal: new AbortController().signal,
    beforeDown: () => Promise.resolve(),
    afterDown: () => Promise.resolve(),
    ...change,
  }).then(
    () => 'ended',
    (error: unknown) => error,
  );
  while (!(await status())?.units.every(({ phase }) => phase === 'running'))
    await new Promise((resolve) => setTimeout(resolve, 5));
  await askSupervisor(places().supervisorSocket, 'POST', '/stop/down');
  return await ended;
}

const never = (signal: AbortSignal) =>
  new Promise<void>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });

test('pods that hang cost their own time, and everything ends after them', async () => {
  const limits = { podsMs: 30, unitsMs: 5_000 };
  expect(await downOf([unit('etcd'), unit('node1-init')], { beforeDown: never, limits })).toBe('ended');
  expect(await readdir(places().records)).toEqual([]);
  for (const child of children) expect(child.killed || (await exited(child))).toBe(true);
});

test('a unit that cannot be ended is what is left on record; the others end', async () => {
  const stuck = unit('node1-init', { stop: () => Promise.reject(new Error('in use')) });
  const end = await downOf([unit('etcd'), stuck, unit('node1-agent')], {});
  expect(end).toMatchObject({ message: 'node1-init could not be ended', cause: { message: 'in use' } });
  expect(await recordedProcesses(places().records)).toEqual(['node1-init']);
  // Its own record stays too: `down` sees that it is gone, and that it did not finish.
  expect(JSON.parse(await readFile(places().supervisorRecord, 'utf8'))).toMatchObject({ release: 'r' });
});

test('a unit that hangs ends with the limit of all', async () => {
  const limits = { podsMs: 30, unitsMs: 50 };
  const stuck = unit('node1-init', { stop: (_identity, signal) => never(signal) });
  expect(await downOf([unit('etcd'), stuck], { limits })).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
});

const exited = (child: ChildProcess) =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve(true)
    : new Promise<boolean>((resolve) => child.once('exit', () => resolve(true)));
