import { setMaxListeners } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { ensureEntity, importEntity, listEntities, readEntity, removeEntity } from '../../src/ceph/auth.ts';
import {
  addToBlocklist,
  readBlocklist,
  removeFromBlocklist,
  waitForOsdMaps,
} from '../../src/ceph/blocklist.ts';
import { readCapacity } from '../../src/ceph/capacity.ts';
import { isCephxKey, newCephxKey } from '../../src/ceph/cephx-key.ts';
import { readConfig, removeConfig, setConfig } from '../../src/ceph/config.ts';
import { createRule, deleteRule, readDeviceClasses, readRule, setDeviceClass } from '../../src/ceph/crush.ts';
import { isCephError } from '../../src/ceph/errors.ts';
import { fenceAddress, liftFence } from '../../src/ceph/fence.ts';
import { fakeCeph } from '../../src/ceph/fake/fake-ceph.ts';
import { readHealth } from '../../src/ceph/health.ts';
import { enableMgrModule, failMgr, readMgr, readMgrModules } from '../../src/ceph/mgr.ts';
import {
  allPgsClean,
  monHostOf,
  monsOkToStop,
  readMonMap,
  readStatus,
  removeMon,
} from '../../src/ceph/mon.ts';
import {
  markIn,
  markOut,
  osdsOkToStop,
  purgeOsd,
  readOsdMap,
  readOsdTree,
  readOsdUsage,
  registerOsd,
  safeToDestroy,
  setOsdFlag,
} from '../../src/ceph/osd.ts';
import {
  createPool,
  deletePool,
  enableApplication,
  imagesIn,
  readPool,
  readPools,
  setPool,
  setPoolQuota,
} from '../../src/ceph/pools.ts';
import type { Ceph } from '../../src/ceph/seam.ts';
import { parseCephVersion, readVersions } from '../../src/ceph/versions.ts';
import { proveWrite } from '../../src/ceph/write-proof.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { identifyProcess } from '../../src/lib/process-identity.ts';
import { startCephCluster, type CephCluster } from '../support/ceph-cluster.ts';

interface Bench {
  readonly ceph: Ceph;
  /** Another client of the same cluster. */
  readonly other: Ceph;
  stop(): Promise<void>;
}

const backends: readonly { name: string; start: () => Promise<Bench> }[] = [
  {
    name: 'the fake',
    start: async () => {
      const fake = fakeCeph({ pools: ['rbd'], osds: Array.from({ length: 3 }, () => ({ host: 'vm' })) });
      fake.state.rules.get('replicated_rule')!.failureDomain = 'osd';
      return { ceph: fake, other: fake.connect(), stop: async () => undefined };
    },
  },
  {
    name: 'a real cluster',
    start: async () => {
      const cluster = await startCephCluster();
      const other = cluster.connect();
      return {
        ceph: cluster.ceph,
        other,
        stop: async () => {
          await other.close();
          await cluster.stop();
        },
      };
    },
  },
];

const signal = AbortSignal.timeout(200_000);
setMaxListeners(0, signal); // Shared by every call here.
const options = { signal };
const rbd = { pool: 'rbd' };
const space = { pool: 'rbd', namespace: 'csi' };
const features = ['layering', 'exclusive-lock', 'object-map', 'fast-diff', 'deep-flatten'];

/** `ENOENT`, or what else came of it. */
async function nameOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return isCephError(error) ? error.errnoName : String(error);
  }
  return 'no error';
}

/** PG states come from the mgr's reports, which lag behind a change by a second or two. */
async function untilClean(ceph: Ceph): Promise<void> {
  for (let quiet = 0; quiet < 3;) {
    quiet = allPgsClean(await readStatus(ceph, signal)) ? quiet + 1 : 0;
    await systemClock.sleep(300, signal);
  }
}

describe.each(backends)('$name', ({ start }) => {
  let bench: Bench;
  let ceph: Ceph;
  beforeAll(async () => {
    bench = await start();
    ceph = bench.ceph;
  });
  afterAll(async () => await bench?.stop());

  test('commands: JSON, text, several documents, nothing, errors with Ceph’s text', async () => {
    const { fsid } = await ceph.mon({ prefix: 'fsid' }, z.object({ fsid: z.string() }), options);
    expect(fsid).toMatch(/^[0-9a-f-]{36}$/);
    expect(await ceph.mon({ prefix: 'osd pool create', pool: 'rbd' }, z.null(), options)).toBeNull();
    await expect(ceph.mon({ prefix: 'nope' }, z.unknown(), options)).rejects.toMatchObject({
      errnoName: 'EINVAL',
      text: 'command not known',
      operation: 'nope',
      retryable: false,
    });
    await expect(ceph.mgr({ prefix: 'nope' }, z.unknown(), options)).rejects.toMatchObject({
      errnoName: 'EINVAL',
      text: "No handler found for 'nope'",
    });
    expect(await nameOf(ceph.mon({ prefix: 'fsid' }, z.object({ other: z.string() }), options))).toBe(
      'EBADMSG',
    );
    await ceph.mon({ prefix: 'config-key set', key: 'holdfast/x', val: '17' }, z.unknown(), options);
    expect(await ceph.mon({ prefix: 'config-key get', key: 'holdfast/x' }, z.string(), options)).toBe('17');
    await ceph.mon({ prefix: 'config-key set', key: 'holdfast/x' }, z.unknown(), {
      ...options,
      input: 'by input',
    });
    expect(await ceph.mon({ prefix: 'config-key get', key: 'holdfast/x' }, z.string(), options)).toBe(
      'by input',
    );
    expect(await nameOf(ceph.mon({ prefix: 'config-key get', key: 'none' }, z.string(), options))).toBe(
      'ENOENT',
    );
    await ceph.mon({ prefix: 'config-key rm', key: 'holdfast/x' }, z.unknown(), options);
  });

  test('an aborted call rejects with the reason and leaves the connection whole', async () => {
    const own = new AbortController();
    const call = ceph.mon({ prefix: 'status' }, z.unknown(), { signal: own.signal });
    own.abort(new Error('changed my mind'));
    await expect(call).rejects.toThrow('changed my mind');
    await ceph.mon({ prefix: 'fsid' }, z.unknown(), options);
  });

  test('status, health, quorum, mgr, versions, capacity', async () => {
    const status = await readStatus(ceph, signal);
    expect(status).toMatchObject({ quorum: ['a'], monCount: 1, osds: { total: 3, up: 3, in: 3 } });
    expect(status.pgs.byState.get('active+clean')).toBe(status.pgs.total);
    const health = await readHealth(ceph, signal);
    expect(health.status).toBe(status.health.status);
    const map = await readMonMap(ceph, signal);
    expect(map.mons).toMatchObject([{ name: 'a', rank: 0, inQuorum: true }]);
    expect(monHostOf(map.mons)).toMatch(/^\[v2:[\d.]+:\d+,v1:[\d.]+:\d+\]$/);
    expect(await monsOkToStop(ceph, ['a'], signal)).toEqual({
      ok: false,
      reason: 'not enough monitors would be available () after stopping mons [a]',
    });
    await removeMon(ceph, 'zz', signal);
    expect(await readMgr(ceph, signal)).toMatchObject({ available: true, standbys: 0 });
    await failMgr(ceph, 'nobody', signal);
    expect((await readMgrModules(ceph, signal)).has('balancer')).toBe(true);
    expect(await nameOf(enableMgrModule(ceph, 'no-such-module', signal))).toBe('ENOENT');
    const versions = await readVersions(ceph, signal);
    expect(Object.keys(versions['osd'] ?? {}).map(parseCephVersion)).toEqual([
      { major: 16, minor: 2, patch: 15, release: 'pacific' },
    ]);
    const capacity = await readCapacity(ceph, signal);
    expect(capacity.totalBytes).toBe(30 * 1024 ** 3);
    expect(capacity.pools.map((pool) => pool.name)).toContain('rbd');
  });

  test('pools and CRUSH rules', async () => {
    expect(await readRule(ceph, 'by-osd', signal)).toBeUndefined();
    const rule = await createRule(
      ceph,
      'by-osd',
      { root: 'default', failureDomain: 'osd', deviceClass: 'ssd' },
      signal,
    );
    expect(rule).toMatchObject({ name: 'by-osd', root: 'default', failureDomain: 'osd', deviceClass: 'ssd' });
    const again = await createRule(ceph, 'by-osd', { root: 'default', failureDomain: 'host' }, signal);
    expect(again).toEqual(rule); // Ceph says success and changes nothing.
    expect(await nameOf(createRule(ceph, 'x', { root: 'none', failureDomain: 'osd' }, signal))).toBe(
      'ENOENT',
    );
    expect(await nameOf(createRule(ceph, 'x', { root: 'default', failureDomain: 'shelf' }, signal))).toBe(
      'EINVAL',
    );
    expect(
      await nameOf(
        createRule(ceph, 'x', { root: 'default', failureDomain: 'osd', deviceClass: 'tape' }, signal),
      ),
    ).toBe('EINVAL');

    expect(await readPool(ceph, 'p1', signal)).toBeUndefined();
    const pool = await createPool(ceph, 'p1', { size: 2, crushRule: 'by-osd', pgNum: 8 }, signal);
    expect(pool).toMatchObject({
      name: 'p1',
      type: 'replicated',
      size: 2,
      minSize: 1,
      crushRule: 'by-osd',
      pgNum: 8,
    });
    expect(await createPool(ceph, 'p1', { size: 3 }, signal)).toEqual(pool);
    expect(await nameOf(createPool(ceph, 'p2', { size: 2, crushRule: 'none' }, signal))).toBe('ENOENT');
    expect(await nameOf(deleteRule(ceph, 'by-osd', signal))).toBe('EBUSY');
    expect(await ceph.poolId('p1', options)).toBe(pool.id);
    expect(await ceph.poolName(pool.id, options)).toBe('p1');
    expect(await ceph.poolId('none', options)).toBeUndefined();
    expect(await ceph.poolName(4711, options)).toBeUndefined();

    await setPool(ceph, 'p1', 'size', 3, signal);
    expect(await readPool(ceph, 'p1', signal)).toMatchObject({ size: 3, minSize: 2 });
    await setPool(ceph, 'p1', 'min_size', 1, signal);
    await setPool(ceph, 'p1', 'size', 1, signal);
    await setPool(ceph, 'p1', 'compression_mode', 'aggressive', signal);
    await setPool(ceph, 'p1', 'target_size_ratio', 0.5, signal);
    await setPoolQuota(ceph, 'p1', 'max_bytes', 10n ** 9n, signal);
    const changed = await readPool(ceph, 'p1', signal);
    expect(changed).toMatchObject({ size: 1, minSize: 1, quotaMaxBytes: 10 ** 9 });
    expect(Object.fromEntries(changed?.options ?? [])).toMatchObject({
      compression_mode: 'aggressive',
      target_size_ratio: '0.5',
    });
    expect(await nameOf(setPool(ceph, 'p1', 'size', 99, signal))).toBe('EINVAL');
    expect(await nameOf(setPool(ceph, 'p1', 'min_size', 9, signal))).toBe('EINVAL');
    expect(await nameOf(setPool(ceph, 'p1', 'colour', 'red', signal))).toBe('EINVAL');
    expect(await nameOf(setPool(ceph, 'none', 'size', 2, signal))).toBe('ENOENT');
    await enableApplication(ceph, 'p1', 'rbd', signal);
    await enableApplication(ceph, 'p1', 'rbd', signal);
    expect(await nameOf(enableApplication(ceph, 'p1', 'cephfs', signal))).toBe('EPERM');
    expect((await readPools(ceph, signal)).find((entry) => entry.name === 'p1')?.applications).toEqual([
      'rbd',
    ]);

    expect(await nameOf(ceph.mon({ prefix: 'osd pool rm', pool: 'p1' }, z.unknown(), options))).toBe('EPERM');
    expect(await deletePool(ceph, 'p1', signal)).toBe(true);
    expect(await deletePool(ceph, 'p1', signal)).toBe(false);
    expect(await ceph.poolId('p1', options)).toBeUndefined();
    await deleteRule(ceph, 'by-osd', signal);
    await deleteRule(ceph, 'by-osd', signal);
  });

  test('users and keys', async () => {
    expect(await readEntity(ceph, 'client.t', signal)).toBeUndefined();
    const made = await ensureEntity(
      ceph,
      'client.t',
      { mon: 'profile rbd', osd: 'profile rbd pool=rbd' },
      signal,
    );
    expect(isCephxKey(made.key)).toBe(true);
    expect(
      await ensureEntity(ceph, 'client.t', { mon: 'profile rbd', osd: 'profile rbd pool=rbd' }, signal),
    ).toEqual(made);
    const changed = await ensureEntity(ceph, 'client.t', { mon: 'allow r' }, signal);
    expect(changed.key).toBe(made.key);
    expect(await readEntity(ceph, 'client.t', signal)).toEqual({
      entity: 'client.t',
      key: made.key,
      caps: { mon: 'allow r' },
    });
    expect(await nameOf(ensureEntity(ceph, 'client.u', { mon: 'bogus' }, signal))).toBe('EINVAL');
    expect(await nameOf(ensureEntity(ceph, 'somebody', { mon: 'allow r' }, signal))).toMatch(/EINVAL|ENOENT/);
    const key = newCephxKey(Date.now());
    await importEntity(ceph, { entity: 'client.imported', key, caps: { mon: 'allow r' } }, signal);
    expect(await readEntity(ceph, 'client.imported', signal)).toMatchObject({
      key,
      caps: { mon: 'allow r' },
    });
    const listed = await listEntities(ceph, signal);
    expect(listed.find((user) => user.entity === 'client.imported')).toEqual({
      entity: 'client.imported',
      caps: { mon: 'allow r' },
    });
    for (const user of ['client.t', 'client.imported', 'client.none']) await removeEntity(ceph, user, signal);
    expect(await readEntity(ceph, 'client.t', signal)).toBeUndefined();
  });

  test('central configuration', async () => {
    await setConfig(ceph, 'osd.0', 'debug_osd', '1/5', signal);
    expect(await readConfig(ceph, signal)).toContainEqual({
      who: 'osd.0',
      name: 'debug_osd',
      value: '1/5',
      mask: '',
    });
    await removeConfig(ceph, 'osd.0', 'debug_osd', signal);
    await removeConfig(ceph, 'osd.0', 'debug_osd', signal);
    expect((await readConfig(ceph, signal)).filter((option) => option.who === 'osd.0')).toEqual([]);
    expect(await nameOf(setConfig(ceph, 'global', 'bogus_option', '3', signal))).toBe('EINVAL');
    expect(await nameOf(setConfig(ceph, 'global', 'osd_pool_default_size', 'abc', signal))).toBe('EINVAL');
  });

  test('OSDs: a new one, its class, out and in, what may stop, what may go', async () => {
    const uuid = '8c2a92e8-4a3c-4d5c-a3c6-8e0ba2c5ec11';
    const key = newCephxKey(Date.now());
    const id = await registerOsd(ceph, { uuid, key }, signal);
    expect(id).toBe(3);
    expect(await registerOsd(ceph, { uuid, key }, signal)).toBe(id);
    expect(await nameOf(registerOsd(ceph, { uuid, key: newCephxKey(1) }, signal))).toBe('EEXIST');
    expect(await nameOf(registerOsd(ceph, { uuid, key, id: 9 }, signal))).toBe('EEXIST');
    expect(await nameOf(registerOsd(ceph, { uuid: 'no-uuid', key }, signal))).toBe('EINVAL');
    expect((await readOsdMap(ceph, signal)).osds.find((osd) => osd.id === id)).toMatchObject({
      uuid,
      up: false,
      isNew: true,
    });
    expect((await readOsdTree(ceph, signal)).find((node) => node.id === id)).toMatchObject({
      name: 'osd.3',
      stray: true,
      status: 'down',
    });
    await setDeviceClass(ceph, [id], 'ssd', signal);
    await setDeviceClass(ceph, [id], 'nvme', signal);
    expect(await readDeviceClasses(ceph, signal)).toContain('nvme');
    await markOut(ceph, [id, 77], signal);
    expect((await readOsdMap(ceph, signal)).osds.find((osd) => osd.id === id)?.in).toBe(false);
    await markIn(ceph, [id], signal);
    await purgeOsd(ceph, id, signal);
    await purgeOsd(ceph, id, signal);
    expect((await readOsdMap(ceph, signal)).osds.map((osd) => osd.id).sort()).toEqual([0, 1, 2]);
    expect(await readEntity(ceph, 'osd.3', signal)).toBeUndefined();

    await untilClean(ceph);
    expect(await nameOf(purgeOsd(ceph, 0, signal))).toBe('EBUSY');
    expect(
      await nameOf(
        ceph.mon({ prefix: 'osd purge', id: 0, yes_i_really_mean_it: true }, z.unknown(), options),
      ),
    ).toBe('EINVAL');
    expect(await osdsOkToStop(ceph, [0], signal)).toEqual({ ok: true });
    expect(await osdsOkToStop(ceph, [0, 1], signal)).toMatchObject({
      ok: false,
      reason: expect.stringContaining('unsafe to stop osd(s) at this time') as string,
    });
    expect(await safeToDestroy(ceph, 0, signal)).toMatchObject({ verdict: 'holds-data' });
    expect(await safeToDestroy(ceph, 99, signal)).toEqual({ verdict: 'safe' });
    const usage = await readOsdUsage(ceph, signal);
    expect(usage.map(({ id: osd, host, deviceClass, up }) => ({ osd, host, deviceClass, up }))).toEqual(
      [0, 1, 2].map((osd) => ({ osd, host: 'vm', deviceClass: 'ssd', up: true })),
    );
    expect(usage[0]?.bytes).toBe(10 * 1024 ** 3);
    await setOsdFlag(ceph, 'noout', true, signal);
    expect((await readOsdMap(ceph, signal)).flags).toContain('noout');
    expect((await readHealth(ceph, signal)).checks).toContainEqual(
      expect.objectContaining({
        code: 'OSDMAP_FLAGS',
        severity: 'HEALTH_WARN',
        message: 'noout flag(s) set',
      }),
    );
    await setOsdFlag(ceph, 'noout', false, signal);
  });

  test('the blocklist: clients and ranges, never renewed, lifted', async () => {
    await addToBlocklist(ceph, '10.9.9.9:0/123', 600, signal);
    await addToBlocklist(ceph, '10.9.9.9:0/123', 7200, signal);
    await addToBlocklist(ceph, '10.9.8.0/24', 600, signal);
    await addToBlocklist(ceph, '10.9.8.0/24', 7200, signal);
    await waitForOsdMaps(ceph, systemClock, signal);
    const { epoch } = await readOsdMap(ceph, signal);
    const osd = await ceph.osd(0, { prefix: 'status' }, z.object({ newest_map: z.int() }), options);
    expect(osd.newest_map).toBeGreaterThanOrEqual(epoch);
    expect(await nameOf(ceph.osd(0, { prefix: 'nope' }, z.unknown(), options))).toBe('EINVAL');
    expect(await nameOf(ceph.osd(77, { prefix: 'status' }, z.unknown(), options))).toBe('ENOENT');
    const entries = await readBlocklist(ceph, signal);
    expect(entries.map(({ address, range }) => ({ address, range }))).toEqual([
      { address: '10.9.9.9:0/123', range: false },
      { address: '10.9.8.0:0/24', range: true },
    ]);
    const seconds = ((entries[0]?.until.getTime() ?? 0) - Date.now()) / 1000;
    expect(seconds).toBeGreaterThan(500);
    expect(seconds).toBeLessThan(601); // The second add, for 7200 s, renewed nothing.
    expect((entries[1]?.until.getTime() ?? 0) - Date.now()).toBeLessThan(601_000);
    for (const address of ['10.9.9.9:0/123', '10.9.8.0/24', '10.9.9.9:0/123'])
      await removeFromBlocklist(ceph, address, signal);
    expect(await readBlocklist(ceph, signal)).toEqual([]);
    expect(await nameOf(addToBlocklist(ceph, 'bogus:', 60, signal))).toBe('EINVAL');
  });

  test('a fence of a whole address is a lease: kept, renewed in the other form, lifted', async () => {
    const ip = '10.9.7.7';
    const listed = async () => (await readBlocklist(ceph, signal)).map((entry) => entry.address).sort();
    const first = await fenceAddress(ceph, ip, 600, Date.now(), signal);
    expect(await listed()).toEqual([`${ip}:0/32`]);
    const same = await fenceAddress(ceph, ip, 600, Date.now(), signal);
    expect(Math.abs(same.getTime() - first.getTime())).toBeLessThan(2000);
    expect(await listed()).toEqual([`${ip}:0/32`]);
    const renewed = await fenceAddress(ceph, ip, 3600, Date.now(), signal); // 600 s are less than half of it.
    expect(renewed.getTime() - first.getTime()).toBeGreaterThan(2_900_000);
    expect(await listed()).toEqual([`${ip}:0/0`, `${ip}:0/32`]);
    const kept = await fenceAddress(ceph, ip, 3600, Date.now(), signal);
    expect(Math.abs(kept.getTime() - renewed.getTime())).toBeLessThan(2000);
    await liftFence(ceph, ip, signal);
    await liftFence(ceph, ip, signal);
    expect(await listed()).toEqual([]);
  });

  test('objects and omaps', async () => {
    const { objects } = ceph;
    await objects.createExclusive(space, 'o', options);
    expect(await nameOf(objects.createExclusive(space, 'o', options))).toBe('EEXIST');
    expect(await nameOf(objects.createExclusive({ pool: 'none' }, 'o', options))).toBe('ENOENT');
    expect(await objects.omapGet(rbd, 'o', ['a'], options)).toEqual(new Map()); // Another namespace.
    const values = new Map([
      ['a', '1'],
      ['b', 'zwölf'],
      ['c', ''],
    ]);
    await objects.omapSet(space, 'o', values, options);
    expect(await objects.omapGet(space, 'o', ['a', 'b', 'c', 'd'], options)).toEqual(values);
    expect(await objects.omapGet(space, 'o', [], options)).toEqual(new Map());
    await objects.omapRemove(space, 'o', ['a', 'nope'], options);
    expect([...(await objects.omapList(space, 'o', options)).keys()]).toEqual(['b', 'c']);
    expect(await objects.omapGet(space, 'absent', ['a'], options)).toEqual(new Map());
    expect(await objects.omapList(space, 'absent', options)).toEqual(new Map());

    const many = new Map(
      Array.from({ length: 2500 }, (_, at) => [`k${String(at).padStart(5, '0')}`, `v${at}`]),
    );
    await objects.omapSet(space, 'many', many, options);
    expect(await objects.omapList(space, 'many', options)).toEqual(many);
    expect([
      ...(await objects.omapList(space, 'many', { ...options, after: 'k00001', limit: 2 })).keys(),
    ]).toEqual(['k00002', 'k00003']);

    await objects.omapSet(space, 'made-by-set', new Map([['k', 'v']]), options);
    await objects.omapRemove(space, 'made-by-remove', ['k'], options);
    for (const object of ['o', 'many', 'made-by-set', 'made-by-remove'])
      expect([object, await objects.remove(space, object, options)]).toEqual([object, true]);
    expect(await objects.remove(space, 'o', options)).toBe(false);
    await proveWrite(ceph, 'rbd', 'token', options);
  });

  test('locks: one holder, told apart by client and cookie, broken by a third', async () => {
    const { objects } = ceph;
    const lock = { name: 'attach', cookie: 'node-a', description: 'for a test' };
    expect(await objects.lockHolders(rbd, 'locked', 'attach', options)).toEqual([]);
    await objects.lock(rbd, 'locked', lock, options);
    expect(await nameOf(objects.lock(rbd, 'locked', lock, options))).toBe('EEXIST');
    expect(await nameOf(objects.lock(rbd, 'locked', { ...lock, cookie: 'node-b' }, options))).toBe('EBUSY');
    expect(await nameOf(bench.other.objects.lock(rbd, 'locked', lock, options))).toBe('EBUSY');
    expect(await nameOf(bench.other.objects.unlock(rbd, 'locked', lock, options))).toBe('ENOENT');
    const [holder, ...rest] = await bench.other.objects.lockHolders(rbd, 'locked', 'attach', options);
    expect(rest).toEqual([]);
    expect(holder).toMatchObject({ cookie: 'node-a' });
    expect(holder?.client).toMatch(/^client\.\d+$/);
    expect(holder?.address).toMatch(/^[\d.]+:0\/\d+$/);
    await bench.other.objects.breakLock(rbd, 'locked', 'attach', holder!, options);
    expect(await nameOf(bench.other.objects.breakLock(rbd, 'locked', 'attach', holder!, options))).toBe(
      'ENOENT',
    );
    await bench.other.objects.lock(rbd, 'locked', lock, options);
    await bench.other.objects.unlock(rbd, 'locked', lock, options);
    expect(await nameOf(objects.unlock(rbd, 'locked', lock, options))).toBe('ENOENT');
    expect(await nameOf(objects.unlock(rbd, 'absent', lock, options))).toBe('ENOENT');
    await objects.remove(rbd, 'locked', options);
  });

  test('fifty races for one lock from two clients: one wins each time', async () => {
    const outcomes = new Set<string>();
    for (let round = 0; round < 50; round++) {
      const lock = (cookie: string) => ({ name: 'attach', cookie, description: '' });
      const results = await Promise.all([
        nameOf(ceph.objects.lock(rbd, 'raced', lock('node-a'), options)),
        nameOf(bench.other.objects.lock(rbd, 'raced', lock('node-b'), options)),
      ]);
      outcomes.add([...results].sort().join(' '));
      const [holder] = await ceph.objects.lockHolders(rbd, 'raced', 'attach', options);
      expect(holder?.cookie).toBe(results[0] === 'no error' ? 'node-a' : 'node-b');
      await ceph.objects.breakLock(rbd, 'raced', 'attach', holder!, options);
    }
    expect([...outcomes]).toEqual(['EBUSY no error']);
    await ceph.objects.remove(rbd, 'raced', options);
  });

  test('images: made, described, listed, grown, trashed, removed', async () => {
    const sizeBytes = 64n * 1024n ** 2n;
    await ceph.rbd.create(rbd, 'i', { sizeBytes, features }, options);
    expect(await nameOf(ceph.rbd.create(rbd, 'i', { sizeBytes, features }, options))).toBe('EEXIST');
    expect(await nameOf(ceph.rbd.create(rbd, 'j', { sizeBytes, features: ['colour'] }, options))).toBe(
      'EINVAL',
    );
    expect(await nameOf(ceph.rbd.create({ pool: 'none' }, 'j', { sizeBytes, features }, options))).toBe(
      'ENOENT',
    );
    const info = await ceph.rbd.info(rbd, 'i', options);
    expect(info).toMatchObject({ sizeBytes, features, objectSizeBytes: 4 * 1024 ** 2 });
    expect(await ceph.rbd.info(rbd, 'none', options)).toBeUndefined();
    await ceph.rbd.create(
      rbd,
      'plain',
      { sizeBytes, features: ['layering'], objectSizeBytes: 1024 ** 2 },
      options,
    );
    expect(await ceph.rbd.info(rbd, 'plain', options)).toMatchObject({
      features: ['layering'],
      objectSizeBytes: 1024 ** 2,
    });
    const listed = await ceph.rbd.list(rbd, options);
    expect(listed.map((image) => image.name).sort()).toEqual(['i', 'plain']);
    expect(listed).toContainEqual({ id: info?.id, name: 'i' });
    expect(await ceph.rbd.watchers(rbd, 'i', options)).toEqual([]);
    expect(await nameOf(ceph.rbd.watchers(rbd, 'none', options))).toBe('ENOENT');
    expect(await imagesIn(ceph, 'rbd', signal)).toMatchObject({ trash: [] });

    await ceph.rbd.resize(rbd, 'i', sizeBytes * 2n, options);
    expect((await ceph.rbd.info(rbd, 'i', options))?.sizeBytes).toBe(sizeBytes * 2n);
    expect(await nameOf(ceph.rbd.resize(rbd, 'i', sizeBytes, options))).toBe('EINVAL');
    expect(await nameOf(ceph.rbd.resize(rbd, 'none', sizeBytes, options))).toBe('ENOENT');
    expect(await ceph.rbd.metadataGet(rbd, 'i', 'k', options)).toBeUndefined();
    await ceph.rbd.metadataSet(rbd, 'i', 'k', 'v'.repeat(2000), options);
    expect(await ceph.rbd.metadataGet(rbd, 'i', 'k', options)).toBe('v'.repeat(2000));

    // The image's header is an object like others: the lock that guards an attachment lives there.
    const header = `rbd_header.${info?.id}`;
    await ceph.objects.lock(rbd, header, { name: 'holdfast', cookie: 'c', description: '' }, options);
    await ceph.objects.unlock(rbd, header, { name: 'holdfast', cookie: 'c' }, options);

    expect(await ceph.rbd.trashMove(rbd, 'i', 0, options)).toBe(true);
    expect(await ceph.rbd.trashMove(rbd, 'i', 0, options)).toBe(false);
    expect(await ceph.rbd.info(rbd, 'i', options)).toBeUndefined();
    expect(await ceph.rbd.trashList(rbd, options)).toEqual([{ id: info?.id, name: 'i' }]);
    expect(await ceph.rbd.trashRemove(rbd, info!.id, options)).toBe(true);
    expect(await ceph.rbd.trashRemove(rbd, info!.id, options)).toBe(false);
    expect(await ceph.rbd.trashMove(rbd, 'plain', 3600, options)).toBe(true);
    const [deferred] = await ceph.rbd.trashList(rbd, options);
    expect(await nameOf(ceph.rbd.trashRemove(rbd, deferred!.id, options))).toBe('EPERM');
    expect(await ceph.objects.remove(rbd, `rbd_header.${info?.id}`, options)).toBe(false);

    expect(
      await nameOf(ceph.rbd.create({ pool: 'rbd', namespace: 'new' }, 'n', { sizeBytes, features }, options)),
    ).toBe('ENOENT');
    await ceph.rbd.createNamespace(space, options);
    await ceph.rbd.createNamespace(space, options);
    await ceph.rbd.create(space, 'n', { sizeBytes, features }, options);
    expect(await ceph.rbd.list(rbd, options)).toEqual([]);
    expect((await ceph.rbd.list(space, options)).map((image) => image.name)).toEqual(['n']);
    expect(await ceph.rbd.remove(space, 'n', options)).toBe(true);
    expect(await ceph.rbd.remove(space, 'n', options)).toBe(false);
    await ceph.rbd.initPool(rbd, options);
  });
});

describe('the broker', () => {
  let cluster: CephCluster;
  beforeAll(async () => {
    cluster = await startCephCluster();
  });
  afterAll(async () => await cluster?.stop());

  test('the key is in no argument list, no environment and no error', async () => {
    const { ceph, connection } = cluster;
    await ceph.mon({ prefix: 'fsid' }, z.unknown(), options);
    const offenders: string[] = [];
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name)))
      for (const file of ['cmdline', 'environ']) {
        const text = await readFile(`/proc/${pid}/${file}`, 'latin1').catch(() => '');
        if (text.includes(connection.key)) offenders.push(`${pid}/${file}`);
      }
    expect(offenders).toEqual([]);
    const wrong = cluster.connect({ user: 'client.admin', key: newCephxKey(1) });
    const unknown = cluster.connect({ user: 'client.nobody', key: connection.key });
    for (const bad of [wrong, unknown]) {
      const error = await bad.mon({ prefix: 'fsid' }, z.unknown(), options).catch((cause: unknown) => cause);
      expect(isCephError(error)).toBe(true);
      expect(`${String(error)} ${JSON.stringify(error)} ${(error as Error).stack}`).not.toContain(
        connection.key,
      );
      expect(String(error)).toMatch(/EACCES|EPERM/);
      await bad.close();
    }
  });

  test('a killed child: calls in flight get a retryable error, the next one is served by a new child', async () => {
    const own = cluster.connect();
    await own.mon({ prefix: 'fsid' }, z.unknown(), options);
    const pid = own.broker.pid;
    const calls = Array.from({ length: 20 }, () => own.rbd.list(rbd, options));
    process.kill(pid!, 'SIGKILL');
    const outcomes = await Promise.allSettled(calls);
    for (const outcome of outcomes)
      if (outcome.status === 'rejected')
        expect(outcome.reason).toMatchObject({ errnoName: 'ENOTCONN', retryable: true });
    expect(outcomes.some((outcome) => outcome.status === 'rejected')).toBe(true);
    await own.mon({ prefix: 'fsid' }, z.unknown(), options);
    const successor = own.broker.pid;
    expect(successor).not.toBe(pid);
    await own.close(); // Ends its stdin, as this process's death would.
    expect(await identifyProcess(successor!)).toBeUndefined();
    expect(await nameOf(own.mon({ prefix: 'fsid' }, z.unknown(), options))).toBe('ESHUTDOWN');
  });

  test('frozen OSDs: a call past its limit ends with ETIMEDOUT, and the mon still answers', async () => {
    const own = cluster.connect();
    await own.rbd.list(rbd, options);
    for (const id of [0, 1, 2]) await cluster.signal(`osd.${id}`, 'SIGSTOP');
    try {
      const startedMs = performance.now();
      const stuck = own.objects.omapSet(rbd, 'x', new Map([['k', 'v']]), { signal, timeoutMs: 1500 });
      await expect(stuck).rejects.toMatchObject({ errnoName: 'ETIMEDOUT', retryable: true });
      expect(performance.now() - startedMs).toBeLessThan(2500);
      await own.mon({ prefix: 'fsid' }, z.unknown(), options);
    } finally {
      for (const id of [0, 1, 2]) await cluster.signal(`osd.${id}`, 'SIGCONT');
      await own.close();
    }
  });

  test('20,000 commands (HOLDFAST_SOAK): memory stays bounded', async () => {
    const own = cluster.connect();
    const rss = async () => {
      const status = await readFile(`/proc/${own.broker.pid}/status`, 'utf8');
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
    };
    const run = async (count: number) => {
      let left = count;
      await Promise.all(
        Array.from({ length: 16 }, async (_, lane) => {
          while (left-- > 0) {
            if (left % 4 === 0) await own.mon({ prefix: 'osd dump' }, z.unknown(), options);
            else if (left % 4 === 1)
              await own.objects.omapSet(rbd, `soak-${lane}`, new Map([['k', String(left)]]), options);
            else if (left % 4 === 2) await own.objects.omapGet(rbd, `soak-${lane}`, ['k'], options);
            else await own.mon({ prefix: 'status' }, z.unknown(), options);
          }
        }),
      );
    };
    const total = Number(process.env['HOLDFAST_SOAK'] ?? 20_000);
    await run(total * 0.2);
    const before = await rss();
    await run(total * 0.4);
    const middle = await rss();
    const startedMs = performance.now();
    await run(total * 0.4);
    const after = await rss();
    const perSecond = (total * 0.4) / ((performance.now() - startedMs) / 1000);
    process.stdout.write(
      `soak of ${total}: RSS ${before.toFixed(0)} -> ${middle.toFixed(0)} -> ${after.toFixed(0)} MiB, ${perSecond.toFixed(0)} commands/s\n`,
    );
    // It rises to what 8 answers at once take, and stays there; an idle child has 70 MiB.
    expect(after - middle).toBeLessThan(24);
    expect(after).toBeLessThan(250);
    await own.close();
  });
});
