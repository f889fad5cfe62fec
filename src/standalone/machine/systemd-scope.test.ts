import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../lib/clock.ts';
import { enterScope, startScopeArgs, untilScopeGone } from './systemd-scope.ts';

const id = '1a2b3c4d';
const scope = `sys/fs/cgroup/holdfast.slice/holdfast-${id}.scope`;
const { signal } = new AbortController();
let root: string;
let calls: string[][];

const put = async (name: string, text: string) => {
  await mkdir(dirname(join(root, name)), { recursive: true });
  await writeFile(join(root, name), text);
};
const text = (name: string) => readFile(join(root, name), 'utf8');

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'holdfast-scope-'));
  calls = [];
  await put('proc/1/comm', 'systemd\n');
  await put('proc/self/mountinfo', '1 1 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate');
  await put('proc/self/cgroup', '0::/user.slice/user-0.slice/session-3.scope\n');
});
afterEach(() => rm(root, { recursive: true }));

/** systemd, as far as its bus shows: it makes the scope's group and moves the process there. */
const systemd =
  (refusesSlice = false) =>
  async (_file: string, args: readonly string[]) => {
    calls.push([...args]);
    if (refusesSlice && args.includes('StopWhenUnneeded'))
      throw new Error('Unit holdfast.slice was already loaded or has a fragment file.');
    await mkdir(join(root, scope), { recursive: true });
    await put('proc/self/cgroup', `0::/holdfast.slice/holdfast-${id}.scope\n`);
    return { stdout: '', stderr: '' };
  };
const enter = (run: ReturnType<typeof systemd>) =>
  enterScope(id, { clock: systemClock, signal, root, run, pid: 4711 });

test('the call names the scope, delegates it, and makes a slice that goes with its last scope', () => {
  expect(startScopeArgs(id, 4711, true).slice(5)).toEqual([
    'StartTransientUnit',
    'ssa(sv)a(sa(sv))',
    `holdfast-${id}.scope`,
    'replace',
    '7',
    'Description',
    's',
    `Holdfast instance ${id}`,
    'Slice',
    's',
    'holdfast.slice',
    'Delegate',
    'b',
    'true',
    'TasksMax',
    't',
    '18446744073709551615',
    'TimeoutStopUSec',
    't',
    '10000000',
    'CollectMode',
    's',
    'inactive-or-failed',
    'PIDs',
    'au',
    '1',
    '4711',
    '1',
    'holdfast.slice',
    '2',
    'Description',
    's',
    'Holdfast instances',
    'StopWhenUnneeded',
    'b',
    'true',
  ]);
  expect(startScopeArgs(id, 4711, false).at(-1)).toBe('0');
});

test('the first supervisor starts the scope and goes into a leaf of it', async () => {
  expect(await enter(systemd())).toBe(true);
  expect(calls).toEqual([startScopeArgs(id, 4711, true)]);
  expect(await text(`${scope}/host/cgroup.procs`)).toBe('4711');
});

test('beside another instance the slice is taken as it is', async () => {
  expect(await enter(systemd(true))).toBe(true);
  expect(calls).toEqual([startScopeArgs(id, 4711, true), startScopeArgs(id, 4711, false)]);
});

test('the next supervisor joins the scope that runs, from wherever it was started', async () => {
  await mkdir(join(root, scope, 'host'), { recursive: true });
  expect(await enter(systemd())).toBe(true);
  expect(calls).toEqual([]);
  expect(await text(`${scope}/host/cgroup.procs`)).toBe('4711');
});

test('one that the server started is in the scope already', async () => {
  await mkdir(join(root, scope, 'host'), { recursive: true });
  await put('proc/self/cgroup', `0::/holdfast.slice/holdfast-${id}.scope/host\n`);
  expect(await enter(systemd())).toBe(true);
  expect(calls).toEqual([]);
});

test('what systemd says stands in the error where it refuses', async () => {
  const refuses = () => Promise.reject(new Error('Access denied'));
  await expect(enter(refuses)).rejects.toThrow('Access denied');
});

test('without systemd as PID 1 nothing is asked', async () => {
  await put('proc/1/comm', 'init\n');
  expect(await enter(systemd())).toBe(false);
  expect(calls).toEqual([]);
});

test('the scope of an ended instance is waited for', async () => {
  await mkdir(join(root, scope), { recursive: true });
  let looks = 0;
  const clock = {
    ...systemClock,
    async sleep() {
      looks++;
      await rm(join(root, scope), { recursive: true });
    },
  };
  await untilScopeGone(id, { clock, signal, root });
  expect(looks).toBe(1);
});
