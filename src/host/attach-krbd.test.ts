import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isDeadlineError } from '../lib/deadline.ts';
import { krbdAttacher } from './attach-krbd.ts';
import type { AttachRequest } from './attacher.ts';
import { isDeviceBusy } from './device-busy.ts';
import { fakeHost } from './fake/fake-host.ts';
import { fakeKrbd } from './fake/fake-krbd.ts';
import { kernelAddresses, mapRequest } from './krbd-request.ts';
import { attachRequest as request } from '../../test/support/attach-request.ts';

const config = '10.0.0.1:6789,10.0.0.2:6789 name=csi-rbd-node,secret=k replicapool csi-vol-1 -';
const { signal } = new AbortController();

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'krbd-'));
});
afterEach(() => rm(dir, { recursive: true }));

/** A node with the module loaded, and a cluster with one pool and two images of one name. */
async function krbdBench() {
  const host = fakeHost();
  const kernel = await fakeKrbd(dir);
  await kernel.load();
  const image = { features: 0x3dn, size: 1n << 28n };
  kernel.images.set('replicapool//csi-vol-1', image);
  kernel.images.set('replicapool/ns/csi-vol-1', image);
  kernel.users.set('csi-rbd-node', { key: request.key, pools: ['replicapool'] });
  const deps = {
    tools: kernel.tools,
    mounts: host.mounts,
    stateDir: join(dir, 'state'),
    sys: dir,
    dev: kernel.dev,
  };
  const [id, parentId, options, propagation] = [1, 0, [], []] as const;
  const udev = { major: 0, minor: 5, root: '/', fsType: 'devtmpfs', source: 'udev', superOptions: [] };
  host.table.push({ ...udev, id, parentId, options, propagation, mountPoint: kernel.dev });
  const krbd = krbdAttacher(deps);
  const mapped = () => readdir(join(kernel.bus, 'devices'));
  const refused = async (change: Partial<AttachRequest>): Promise<string> => {
    const error = await krbd.attach({ ...request, ...change }, signal).catch((cause: unknown) => cause);
    const { message, stack, cause } = error as Error;
    for (const key of [request.key, change.key ?? request.key])
      expect(`${message}${stack}${JSON.stringify(error)}${String(cause)}`).not.toContain(key);
    expect(await readdir(deps.stateDir).catch(() => [])).toEqual([]);
    return message;
  };
  return { host, kernel, deps, krbd, mapped, refused };
}

test('what the kernel is told', () => {
  expect(mapRequest({ ...request, namespace: 'ns', readOnly: true })).toBe(
    '10.0.0.1:6789,10.0.0.2:6789 name=csi-rbd-node,secret=c2VjcmV0,mount_timeout=30,noshare,_pool_ns=ns,read_only replicapool csi-vol-1 -',
  );
  // Monitors that are known by the second protocol's port only: the kernel has to be told to speak it.
  expect(mapRequest({ ...request, monHost: '10.0.0.1:3300,10.0.0.2:3300' })).toMatch(
    /^10\.0\.0\.1:3300,10\.0\.0\.2:3300 .*,ms_mode=prefer-crc /,
  );
  expect(mapRequest({ ...request, monHost: '10.0.0.1:3300,10.0.0.2:6789' })).toMatch(/^10\.0\.0\.2:6789 /);
  expect(() => mapRequest({ ...request, image: 'a b' })).toThrow('image has a character');
  expect(() => mapRequest({ ...request, namespace: 'a,ro' })).toThrow('namespace has a character');
});

test('monitors, as each kind of text has them', () => {
  const cases: [string, string, boolean][] = [
    ['[v2:[fd00::1]:3300/0,v1:[fd00::1]:6789/0],[fd00::2]:6789', '[fd00::1]:6789', false],
    ['[v2:[fd00::1]:3300]', '[fd00::1]:3300', true],
    ['[fd00::1]:6789,[fd00::2]:3300', '[fd00::1]:6789', false],
    ['v2:10.0.0.1:3300,v1:10.0.0.1:6789', '10.0.0.1:6789', false],
    ['v2:10.0.0.1:6790', '10.0.0.1:6790', true],
    ['mon-a,mon-b:6789', 'mon-a,mon-b:6789', false],
  ];
  for (const [monHost, text, secondProtocol] of cases)
    expect(kernelAddresses(monHost), monHost).toEqual({ text, secondProtocol });
});

test('used where the kernel knows the features and its devices show', async () => {
  const { krbd, kernel, host } = await krbdBench();
  expect(await krbd.unusable(['layering', 'exclusive-lock', 'object-map', 'data-pool'])).toBeUndefined();
  expect(await krbd.unusable(['layering', 'journaling'])).toBe("the kernel's rbd does not know journaling");
  await rm(join(kernel.bus, 'add_single_major'));
  expect(await krbd.unusable(['layering'])).toBe('its rbd module was loaded with single_major=N');
  await rm(kernel.bus, { recursive: true });
  expect(await krbd.unusable(['layering'])).toBe('the kernel has no rbd module');
  host.table.splice(0);
  expect(await krbd.unusable(['layering'])).toMatch(/dev is not the machine's own/);
});

test('a device is found again by what it was mapped with, held while it is in use, then removed', async () => {
  const { host, krbd, kernel, deps, mapped } = await krbdBench();
  // The same names in another cluster, a snapshot, and one that an administrator mapped.
  const others = { pool: 'replicapool', name: 'csi-vol-1', config_info: config, size: '1' };
  await kernel.addDevice('7', { ...others, config_info: '10.9.9.9:6789 name=x,secret=k replicapool x -' });
  await kernel.addDevice('8', { ...others, current_snap: 'snap' });
  await kernel.addDevice('9', { ...others, name: 'other' });
  const attached = await krbd.attach(request, signal);
  expect(attached).toEqual({
    clusterId: 'rook-ceph',
    pool: 'replicapool',
    image: 'csi-vol-1',
    device: '/dev/rbd0',
    major: 254,
    minor: 0,
    alive: true,
  });
  expect(await krbd.attach(request, signal)).toEqual(attached);
  expect(kernel.writes).toEqual(['add_single_major']);
  for (const name of await readdir(deps.stateDir))
    expect(await readFile(join(deps.stateDir, name), 'utf8')).not.toContain(request.key);
  expect(await krbdAttacher(deps).list(signal)).toEqual([attached]); // By a process that comes after.
  expect((await krbd.attach({ ...request, namespace: 'ns' }, signal)).device).toBe('/dev/rbd1');

  kernel.images.get('replicapool//csi-vol-1')!.size = 1n << 29n;
  expect(await krbd.resize(request, 1n << 29n, signal)).toBe(1n << 29n);

  host.contents.set('/dev/rbd0', { kind: 'signature', type: 'xfs', usage: 'filesystem', uuid: undefined });
  host.numbers.set('/dev/rbd0', { major: 254, minor: 0 });
  await host.mounts.mount({ source: '/dev/rbd0', target: '/t', fsType: 'xfs' }, signal);
  const busy = () => krbd.detach(request, signal).catch((error: unknown) => error);
  expect(isDeviceBusy(await busy())).toBe(true);
  await host.mounts.unmount('/t', {}, signal);
  kernel.open.add('0'); // A mount that is not seen from here, or a pod with the device itself.
  expect(isDeviceBusy(await busy())).toBe(true);
  expect(await krbd.holds(request, signal)).toBe(true);
  kernel.open.clear();
  await krbd.detach(request, signal);
  expect(await mapped()).toEqual(['1', '7', '8', '9']);
  await krbd.detach(request, signal);
});

test('each refusal is put in words, says nothing of the key, leaves nothing', async () => {
  const { krbd, kernel, deps, mapped, refused } = await krbdBench();
  kernel.images.set('replicapool//journaled', { features: 0x7dn, size: 1n });
  kernel.users.set('poor', { key: request.key, pools: [] });
  const none = 'there is no such pool, namespace or image (ENOENT)';
  expect(await refused({ image: 'no' })).toBe(`the kernel did not map no: ${none}`);
  expect(await refused({ pool: 'no' })).toContain(none);
  expect(await refused({ namespace: 'no' })).toContain(none);
  expect(await refused({ image: 'journaled' })).toContain('has features that it does not know (ENXIO)');
  expect(await refused({ key: 'd3Jvbmch' })).toContain('the monitors refuse the user or its key (EACCES)');
  expect(await refused({ user: 'nobody' })).toContain('the monitors refuse the user or its key (EACCES)');
  expect(await refused({ user: 'client.poor' })).toContain('the user may not use the pool (EPERM)');
  expect(await refused({ key: 'abc!' })).toMatch(/: it cannot read the key \(EINVAL\)$/);
  const second = await refused({ key: 'abc!', monHost: '10.0.0.1:3300' });
  expect(second).toContain('or is older than 5.11 and does not speak to monitors on port 3300');
  kernel.trouble = 'no-monitor';
  expect(await refused({})).toContain('no monitor answered within 30 s (ETIMEDOUT)');
  kernel.trouble = 'blocklisted';
  expect(await refused({})).toContain("the client is on Ceph's blocklist (ESHUTDOWN)");
  expect(await mapped()).toEqual([]);
  await kernel.addDevice('4', { pool: 'replicapool', name: 'csi-vol-1', config_info: config, size: '1' });
  expect(await krbd.list(signal)).toEqual([]); // Somebody else's `rbd map` of the same image.
  expect(await readdir(deps.stateDir)).toEqual([]);
});

test('a write that waits for an OSD ends with its caller or at its limit, and the next one does it all', async () => {
  const { krbd, kernel, mapped } = await krbdBench();
  kernel.trouble = 'no-osd';
  const caller = new AbortController();
  const first = krbd.attach(request, caller.signal);
  const second = krbd.attach(request, signal); // Waits for the first, for the kernel would map the image twice.
  caller.abort(new Error('the caller left'));
  await expect(first).rejects.toThrow('the caller left');
  kernel.trouble = undefined;
  expect((await second).device).toBe('/dev/rbd0');
  expect(await mapped()).toEqual(['0']);

  kernel.trouble = 'limit';
  const removal = await krbd.detach(request, signal).catch((error: unknown) => error);
  expect(isDeadlineError(removal)).toBe(true);
  await expect(krbd.attach({ ...request, namespace: 'ns' }, signal)).rejects.toThrow(
    'the kernel did not map csi-vol-1 within 45 s: an OSD or a monitor does not answer',
  );
  expect(await krbd.holds(request, signal)).toBe(true);
  kernel.trouble = undefined;
  await krbd.detach(request, signal);
  expect(await mapped()).toEqual([]);
});

test('a device that does not show is taken back', async () => {
  const { krbd, kernel, deps, mapped } = await krbdBench();
  const elsewhere = krbdAttacher({ ...deps, dev: join(dir, 'elsewhere') });
  await expect(elsewhere.attach(request, signal)).rejects.toThrow('/dev/rbd0 did not appear in');
  expect(kernel.writes).toEqual(['add_single_major', 'remove_single_major']);
  expect(await mapped()).toEqual([]);
  expect(await krbd.holds(request, signal)).toBe(false);
});
