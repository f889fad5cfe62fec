import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isDeviceBusy } from './device-busy.ts';
import { qsdBench } from './fake/qsd-bench.ts';

const { signal } = new AbortController();
const image = { clusterId: 'c', pool: 'p', image: 'i' };
const request = { ...image, monHost: 'h', user: 'client.u', key: 'c2VjcmV0', readOnly: false };

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'qsd-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

test('attached twice is one device; a second attach while it is staged with autoclear gives the same', async () => {
  const { attacher, present, mount } = await qsdBench(stateDir);
  const device = await attacher.attach(request, signal);
  expect(await attacher.attach(request, signal)).toEqual(device);
  await mount(device.device);
  await attacher.releaseWithLastUser(image, signal);
  expect(present[0]?.autoclear).toBe(true);
  expect(await attacher.attach(request, signal)).toEqual(device);
});

test('the keyring is for the user that the daemon is told, whether the Secret names its type or not', async () => {
  const { attacher } = await qsdBench(stateDir);
  for (const user of ['client.team.a', 'team.a']) {
    await attacher.attach({ ...request, user }, signal);
    const [folder = ''] = await readdir(stateDir);
    expect(await readFile(join(stateDir, folder, 'keyring'), 'utf8')).toContain('[client.team.a]\n');
    await attacher.detach(image, signal);
  }
});

test('what is on record is held, half-made or dead; and the loop on record is let go without listing all', async () => {
  const { attacher, present, world, mount } = await qsdBench(stateDir);
  expect(await attacher.holds(image, signal)).toBe(false);
  const device = await attacher.attach(request, signal);
  await mount(device.device);
  world.loopLists = 0;
  expect(await attacher.holds(image, signal)).toBe(true);
  await attacher.releaseWithLastUser(image, signal);
  expect(world.loopLists).toBe(0);
  expect(present[0]?.autoclear).toBe(true);
  present.length = 0;
  world.daemons.clear();
  expect(await attacher.holds(image, signal)).toBe(true);
  await attacher.detach(image, signal);
  expect(await attacher.holds(image, signal)).toBe(false);
});

test('detach is refused while mounted here, and while a pod elsewhere holds the loop: the daemon lives on', async () => {
  const { attacher, present, world, host, clock, mount } = await qsdBench(stateDir);
  const device = await attacher.attach(request, signal);
  await mount(device.device);
  expect(isDeviceBusy(await attacher.detach(image, signal).catch((error: unknown) => error))).toBe(true);
  await host.mounts.unmount('/t', {}, signal);
  present[0]!.heldElsewhere = true;
  const outcomes: unknown[] = [];
  const refused = attacher.detach(image, signal).catch((error: unknown) => outcomes.push(error));
  // The ledger is real files, so time goes on until the answer is there.
  while (outcomes.length === 0) await clock.advance(50);
  await refused;
  expect(String(outcomes[0])).toContain('another mount namespace');
  expect(world.daemons.size).toBe(1);
  present.length = 0; // The pod ended, and autoclear took the loop.
  await attacher.detach(image, signal);
  expect(world.daemons.size).toBe(0);
  expect(await readdir(stateDir)).toEqual([]);
});

test('a daemon that does not start, or a loop that is not to be had, leaves neither daemon nor key', async () => {
  for (const failure of ['startError', 'loopError'] as const) {
    const { attacher, world } = await qsdBench(stateDir);
    world[failure] = new Error('no luck');
    await expect(attacher.attach(request, signal)).rejects.toThrow('no luck');
    expect(world.daemons.size).toBe(0);
    expect(await readdir(stateDir)).toEqual([]);
    world[failure] = undefined;
    expect(await attacher.attach(request, signal)).toMatchObject({ ...image, alive: true });
    await attacher.detach(image, signal);
  }
});

test('a daemon is moved to where it outlives this container; one that cannot be serves all the same', async () => {
  const { attacher, world } = await qsdBench(stateDir);
  await attacher.attach(request, signal);
  expect(world.moved).toEqual([process.pid]);
  await attacher.detach(image, signal);
  let move!: () => void;
  world.moveTakes = new Promise((resolve) => (move = resolve));
  expect(await attacher.attach(request, signal)).toMatchObject({ ...image, alive: true });
  expect(world.moved).toHaveLength(1); // Under way still: nobody waits for it.
  move();
  await attacher.detach(image, signal);
  expect(world.moved).toHaveLength(2);
  world.moveError = new Error('the node has no cgroups');
  expect(await attacher.attach(request, signal)).toMatchObject({ ...image, alive: true });
  await attacher.detach(image, signal);
});

test('the ledger and the key are for root alone', async () => {
  const { attacher } = await qsdBench(stateDir);
  await attacher.attach(request, signal);
  const [name = ''] = await readdir(stateDir);
  expect((await stat(join(stateDir, name))).mode & 0o777).toBe(0o700);
  for (const file of ['keyring', 'ceph.conf', 'ledger.json'])
    expect((await stat(join(stateDir, name, file))).mode & 0o777).toBe(0o600);
});
