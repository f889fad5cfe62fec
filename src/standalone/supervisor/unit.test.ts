import { mkdtemp, rm } from 'node:fs/promises';
import { spawn, type ChildProcess } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { identifyProcess, isRunning, type ProcessIdentity } from '../../lib/process-identity.ts';
import { superviseUnits, type Unit } from './unit.ts';

let recordDir: string;
const children: ChildProcess[] = [];
beforeEach(async () => {
  recordDir = await mkdtemp(join(tmpdir(), 'units-'));
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await rm(recordDir, { recursive: true });
});

const startSleep = async (): Promise<ProcessIdentity> => {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  children.push(child);
  await new Promise((resolve) => child.once('spawn', resolve));
  return (await identifyProcess(child.pid as number)) as ProcessIdentity;
};

const sleeper = (name: string, story: string[], change: Partial<Unit> = {}): Unit => ({
  name,
  needs: [],
  version: 'v1',
  async start() {
    story.push(`start ${name}`);
    return await startSleep();
  },
  async stop(identity) {
    story.push(`stop ${name}`);
    if (identity && (await isRunning(identity))) process.kill(identity.pid, 'SIGKILL');
  },
  ...change,
});

const until = async (what: () => boolean) =>
  await expect.poll(what, { interval: 10, message: String(what) }).toBe(true);
const supervise = (units: readonly Unit[]) =>
  superviseUnits({ units, recordDir, clock: systemClock, log: silentLogger });

test('starts in the order of needs, restarts what dies with what needs it, and stops in reverse', async () => {
  const story: string[] = [];
  const units = [sleeper('a', story), sleeper('b', story, { needs: ['a'] })];
  const supervision = supervise(units);
  const stop = new AbortController();
  const running = supervision.run(stop.signal);
  const phase = (name: string) => supervision.states().find((state) => state.name === name);
  await until(() => phase('b')?.phase === 'running');
  expect(story).toEqual(['start a', 'start b']);

  process.kill(phase('a')?.pid as number, 'SIGKILL');
  await until(() => story.length === 6);
  expect(story).toEqual(['start a', 'start b', 'stop b', 'stop a', 'start a', 'start b']);

  stop.abort();
  await running;
  story.length = 0;
  await supervision.stopAll(AbortSignal.timeout(5000));
  expect(story).toEqual(['stop b', 'stop a']);
});

/** A supervisor that starts `a` and ends; the process runs on. */
async function supervisedOnce(story: string[]) {
  const stop = new AbortController();
  const supervision = supervise([sleeper('a', story)]);
  const running = supervision.run(stop.signal);
  await until(() => supervision.states()[0]?.phase === 'running');
  stop.abort();
  await running;
  return supervision;
}

test('a supervisor that comes after finds the processes running and starts nothing', async () => {
  const story: string[] = [];
  const one = await supervisedOnce(story);

  const second = new AbortController();
  const two = supervise([sleeper('a', story)]);
  const twoRuns = two.run(second.signal);
  await until(() => two.states()[0]?.phase === 'running');
  expect(two.states()[0]).toMatchObject({ adopted: true, pid: one.states()[0]?.pid });
  expect(story).toEqual(['start a']);
  second.abort();
  await twoRuns;
});

test('another version stops the old process before it starts the new one', async () => {
  const story: string[] = [];
  await supervisedOnce(story);

  const second = new AbortController();
  const two = supervise([sleeper('a', story, { version: 'v2' })]);
  const twoRuns = two.run(second.signal);
  await until(() => two.states()[0]?.phase === 'running');
  expect(story).toEqual(['start a', 'stop a', 'start a']);
  second.abort();
  await twoRuns;
});

test('a unit that cannot start says why, and comes up once it can', async () => {
  const story: string[] = [];
  let broken = true;
  const unit = sleeper('a', story, {
    async start() {
      if (broken) throw new Error('no etcd here');
      return await startSleep();
    },
  });
  const stop = new AbortController();
  const supervision = supervise([unit]);
  const running = supervision.run(stop.signal);
  await until(() => supervision.states()[0]?.phase === 'backing-off');
  expect(supervision.states()[0]?.message).toBe('no etcd here');
  broken = false;
  await until(() => supervision.states()[0]?.phase === 'running');
  expect(supervision.states()[0]?.message).toBeUndefined();
  stop.abort();
  await running;
});
