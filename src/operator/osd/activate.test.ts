import { mkdtemp, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { bluestoreLabelBlock } from '../../../test/support/bluestore-label-block.ts';
import { virtualClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { runOsdActivate } from './activate.ts';

const uuid = 'aaaaaaaa-bbbb-4ccc-8ddd-000000000001';
const fsid = '11111111-2222-4333-8444-555555555555';

const labelBytes = (meta: Readonly<Record<string, string>>, osdUuid = uuid) =>
  bluestoreLabelBlock(osdUuid, meta);
const ours = { ceph_fsid: fsid, whoami: '1', osd_key: 'not-a-key', ready: 'ready' };

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

async function bench(labels: readonly Buffer[]) {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-activate-'));
  folders.push(folder);
  const devices = await Promise.all(
    labels.map(async (label, index) => {
      const path = join(folder, `disk${index}`);
      await writeFile(path, label);
      return path;
    }),
  );
  const dataDir = join(folder, 'ceph-1');
  const clock = virtualClock();
  const activate = (osdId = 1) =>
    runOsdActivate(
      { osdUuid: uuid, osdId, fsid, dataDir },
      {
        log: silentLogger,
        clock,
        signal: new AbortController().signal,
        devices: () => Promise.resolve(devices),
      },
    );
  return { dataDir, devices, clock, activate };
}

test('finds the device by the OSD’s fsid, whatever it is called, and writes what ceph-osd reads', async () => {
  const other = labelBytes({ ...ours, whoami: '2' }, 'aaaaaaaa-bbbb-4ccc-8ddd-000000000002');
  const { dataDir, devices, activate } = await bench([Buffer.alloc(4096), other, labelBytes(ours)]);
  await activate();
  expect(await readlink(join(dataDir, 'block'))).toBe(devices[2]);
  expect(await readFile(join(dataDir, 'keyring'), 'utf8')).toBe('[osd.1]\n\tkey = not-a-key\n');
  expect((await stat(join(dataDir, 'keyring'))).mode & 0o777).toBe(0o600);
  expect(await readFile(join(dataDir, 'whoami'), 'utf8')).toBe('1\n');
  await activate(); // A restarted pod does it again.
});

test('never starts an OSD of another cluster, or under another number', async () => {
  const foreign = await bench([labelBytes({ ...ours, ceph_fsid: '99999999-2222-4333-8444-555555555555' })]);
  await expect(foreign.activate()).rejects.toThrow('belongs to cluster 99999999');
  const renumbered = await bench([labelBytes(ours)]);
  await expect(renumbered.activate(7)).rejects.toThrow('is osd.1, not osd.7');
});

test('waits for a device that is late, and says so when it never comes', async () => {
  const { clock, activate } = await bench([Buffer.alloc(4096)]);
  const ended = activate().catch((error: unknown) => error);
  for (let second = 0; second <= 60; second++) {
    // The next look reads a file, which takes real time; then it sleeps again.
    for (let turn = 0; clock.sleeping === 0 && turn < 1_000; turn++)
      await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(1_000);
  }
  expect(String(await ended)).toContain(`no device on this node has OSD fsid ${uuid}`);
});
