import { expect } from 'vitest';
import { z } from 'zod';
import {
  ensureEntity,
  importEntity,
  listEntities,
  readEntity,
  removeEntity,
} from '../../../src/ceph/auth.ts';
import {
  addToBlocklist,
  readBlocklist,
  removeFromBlocklist,
  waitForOsdMaps,
} from '../../../src/ceph/blocklist.ts';
import { readCapacity } from '../../../src/ceph/capacity.ts';
import { isCephxKey, newCephxKey } from '../../../src/ceph/cephx-key.ts';
import { readConfig, removeConfig, setConfig } from '../../../src/ceph/config.ts';
import {
  createRule,
  deleteRule,
  readDeviceClasses,
  readRule,
  setDeviceClass,
} from '../../../src/ceph/crush.ts';
import { fenceAddress, liftFence } from '../../../src/ceph/fence.ts';
import { readHealth } from '../../../src/ceph/health.ts';
import { enableMgrModule, failMgr, readMgr, readMgrModules } from '../../../src/ceph/mgr.ts';
import {
  allPgsClean,
  monHostOf,
  monsOkToStop,
  readMonMap,
  readStatus,
  removeMon,
} from '../../../src/ceph/mon.ts';
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
} from '../../../src/ceph/osd.ts';
import {
  createPool,
  deletePool,
  enableApplication,
  readPool,
  readPools,
  setPool,
  setPoolQuota,
} from '../../../src/ceph/pools.ts';
import type { Ceph } from '../../../src/ceph/seam.ts';
import { parseCephVersion, readVersions } from '../../../src/ceph/versions.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { nameOf, options, signal, type Conformance } from './backend.ts';

/** PG states come from the mgr's reports, which lag behind a change by a second or two. */
async function untilClean(ceph: Ceph): Promise<void> {
  for (let quiet = 0; quiet < 3;) {
    quiet = allPgsClean(await readStatus(ceph, signal)) ? quiet + 1 : 0;
    await systemClock.sleep(300, signal);
  }
}

/** What the operator asks of a cluster's mons, mgr and OSDs. */
export const administration: Conformance = {
  async 'commands: JSON, text, several documents, nothing, errors with Ceph’s text'({ ceph }) {
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
  },
  async 'an aborted call rejects with the reason and leaves the connection whole'({ ceph }) {
    const own = new AbortController();
    const call = ceph.mon({ prefix: 'status' }, z.unknown(), { signal: own.signal });
    own.abort(new Error('changed my mind'));
    await expect(call).rejects.toThrow('changed my mind');
    await ceph.mon({ prefix: 'fsid' }, z.unknown(), options);
  },
  async 'status, health, quorum, mgr, versions, capacity'({ ceph }) {
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
  },
  async 'CRUSH rules'({ ceph }) {
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
    await deleteRule(ceph, 'by-osd', signal);
    await deleteRule(ceph, 'by-osd', signal);
  },
  async pools({ ceph }) {
    await createRule(ceph, 'by-osd', { root: 'default', failureDomain: 'osd' }, signal);
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
  },
  async 'users and keys'({ ceph }) {
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
  },
  async 'central configuration'({ ceph }) {
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
  },
  async 'OSDs: a new one, its class, out and in, what may stop, what may go'({ ceph }) {
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
  },
  async 'the blocklist: clients and ranges, never renewed, lifted'({ ceph }) {
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
  },
  async 'a fence of a whole address is a lease: kept, renewed in the other form, lifted'({ ceph }) {
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
  },
};
