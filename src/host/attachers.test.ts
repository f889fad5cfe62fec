import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { krbdAttacher } from './attach-krbd.ts';
import { nbdAttacher } from './attach-nbd.ts';
import { chooseAttacher, type AttacherWish } from './choose-attacher.ts';
import { fakeAttacher } from './fake/fake-attacher.ts';
import { fakeHost } from './fake/fake-host.ts';
import { qsdArguments, qsdConf } from './qsd-daemon.ts';
import { qsdLedger } from './qsd-ledger.ts';
import type { HostTools } from './tools.ts';
import { imageKey } from './image-key.ts';
import { attachRequest as request } from '../../test/support/attach-request.ts';

const { signal } = new AbortController();
const noTools: HostTools = {
  path: (tool) => `/nowhere/${tool}`,
  run: async (tool) => {
    throw new Error(`${tool} is not there`);
  },
};

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'attachers-'));
});
afterEach(() => rm(dir, { recursive: true }));

test('qsd: the key is in no argument and not in the conf; commas in names are doubled', () => {
  const files = qsdLedger('/state').files(request);
  const args = qsdArguments({ ...request, pool: 'a,b', namespace: 'ns', readOnly: true }, files);
  expect(args.join(' ')).not.toContain(request.key);
  expect(qsdConf(request, files)).not.toContain(request.key);
  expect(args[1]).toContain('pool=a,,b,namespace=ns,image=csi-vol-1');
  expect(args[1]).toContain('user=csi-rbd-node');
  expect(args[1]).toContain('read-only=on');
  expect(args[3]).toContain('writable=off');
  expect(
    Buffer.byteLength(qsdLedger('/var/lib/kubelet/plugins/holdfast.mounter').files(request).qmp),
  ).toBeLessThan(108);
});

test('qsd: two images never share a folder, however their names are cut', () => {
  const { files } = qsdLedger('/state');
  const dirs = [
    files({ clusterId: 'c', pool: 'p', image: 'n/i' }),
    files({ clusterId: 'c', pool: 'p', namespace: 'n', image: 'i' }),
    files({ clusterId: 'c', pool: 'p/n', image: 'i' }),
  ].map((entry) => entry.dir);
  expect(new Set(dirs).size).toBe(3);
});

test('the first attacher that can is chosen, with the reasons against the others', async () => {
  const { mounts } = fakeHost();
  const deps = { tools: noTools, mounts, stateDir: join(dir, 'state'), sys: dir, dev: join(dir, 'dev') };
  const krbd = krbdAttacher(deps);
  const nbd = nbdAttacher(deps);
  const qsd = fakeAttacher('qsd');
  const choice = await chooseAttacher([krbd, nbd, qsd], ['layering']);
  expect(choice).toEqual({
    attacher: qsd,
    reasons: [
      `krbd: ${join(dir, 'dev')} is not the machine's own, so no new device appears there`,
      'rbd-nbd: /nowhere/rbd-nbd is missing',
    ],
  });
  expect(await chooseAttacher([qsd], [], { attacher: 'krbd' })).toEqual({
    attacher: undefined,
    reasons: ['qsd: krbd was asked for'],
  });
  qsd.refusal = '/dev/fuse is missing';
  expect((await chooseAttacher([qsd], [])).reasons).toEqual(['qsd: /dev/fuse is missing']);
});

test('a wish comes first, and with tryOtherMounters gives way', async () => {
  const [krbd, qsd, nbd] = [fakeAttacher('krbd'), fakeAttacher('qsd'), fakeAttacher('rbd-nbd')];
  const choose = async (wish: AttacherWish) => {
    const { attacher, reasons } = await chooseAttacher([krbd, qsd, nbd], [], wish);
    return [attacher?.name, ...reasons];
  };
  expect(await choose({})).toEqual(['krbd']);
  expect(await choose({ attacher: 'rbd-nbd', tryOthers: true })).toEqual(['rbd-nbd']);
  nbd.refusal = 'missing';
  expect(await choose({ attacher: 'rbd-nbd', tryOthers: true })).toEqual(['krbd', 'rbd-nbd: missing']);
  krbd.refusal = 'no module';
  expect(await choose({ attacher: 'krbd', tryOthers: true })).toEqual(['qsd', 'krbd: no module']);
  expect((await choose({ attacher: 'krbd' }))[0]).toBeUndefined();
});

test('the fakes keep state: one device an image, held ones stay, dead ones come anew', async () => {
  const fake = fakeAttacher();
  const first = await fake.attach(request, signal);
  expect(await fake.attach(request, signal)).toEqual(first);
  fake.attachments.get(imageKey(request))!.heldBy = 'a pod';
  await expect(fake.detach(request, signal)).rejects.toThrow('a pod');
  fake.attachments.get(imageKey(request))!.alive = false;
  expect((await fake.attach(request, signal)).minor).not.toBe(first.minor);
  const host = fakeHost();
  expect(await host.filesystems.ensure('/dev/loop0', 'xfs', signal)).toBe('made');
  expect(await host.filesystems.ensure('/dev/loop0', 'xfs', signal)).toBe('existing');
  await expect(host.filesystems.ensure('/dev/loop0', 'ext4', signal)).rejects.toThrow('holds xfs');
});
