import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, open, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { identifyProcess } from '../../src/lib/process-identity.ts';
import { abortFuse, fuseConnections } from '../../src/standalone/machine/fuse.ts';
import { findCephTree } from '../support/ceph-tree.ts';
import { run } from '../support/standalone.ts';

const signal = AbortSignal.timeout(60_000);
let base: string;
let daemon: ReturnType<typeof spawn>;

/** A file that qemu-storage-daemon serves by FUSE, as an attached image is, in the folder of a node. */
beforeEach(async () => {
  base = await mkdtemp('/var/tmp/hf-fuse-');
  const tree = await findCephTree();
  await writeFile(join(base, 'image'), 'of the image');
  await truncate(join(base, 'image'), 1024 ** 2);
  await writeFile(join(base, 'export'), '');
  const blockdev = `driver=file,node-name=image,filename=${join(base, 'image')}`;
  const fuse = `type=fuse,id=e,node-name=image,mountpoint=${join(base, 'export')},writable=on`;
  daemon = spawn(join(tree.root, 'usr/bin/qemu-storage-daemon'), ['--blockdev', blockdev, '--export', fuse], {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...tree.env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  while ((await readFile(join(base, 'export'), 'latin1')).length === 0) {
    if (daemon.exitCode !== null) throw new Error(`qemu-storage-daemon ended with ${daemon.exitCode}`);
    await sleep(20);
  }
});
afterEach(async () => {
  const gone = new Promise((done) => daemon.once('exit', done));
  if (daemon.exitCode === null && daemon.signalCode === null) {
    daemon.kill('SIGKILL');
    await gone;
  }
  await run('umount', ['--lazy', '--', join(base, 'export')]);
  await rm(base, { recursive: true });
});

/** The connection of our file, among all that this mount namespace has. */
async function ownConnection(): Promise<number> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  const line = table.split('\n').find((one) => one.includes(` ${join(base, 'export')} `));
  return Number(line?.split(' ')[2]?.split(':')[1]);
}

test('a connection that is aborted answers nobody any more, and leaves no mount of ours', async () => {
  const id = await ownConnection();
  const file = await open(join(base, 'export'), 'r+');
  try {
    // One that has ended by itself meanwhile is no error.
    await abortFuse([999_999, id], base, signal);
    await expect(file.read(Buffer.alloc(512), 0, 512, 4096)).rejects.toThrow(/ECONNABORTED|ENOTCONN/);
  } finally {
    await file.close().catch(() => undefined);
  }
  expect(await readdir(base)).not.toContain('fusectl');
  expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toContain(`${base}/fusectl`);
});

test('a daemon that is stopped is let go of by those who wait for it', async () => {
  const id = await ownConnection();
  daemon.kill('SIGSTOP');
  // In a process of its own: ours must hold no file of it when it starts another, which closes it first.
  const waiting = run('cat', [join(base, 'export')]);
  try {
    expect(await Promise.race([waiting, sleep(200).then(() => 'waits')])).toBe('waits');
    await abortFuse([id], base, signal);
    const { code, stderr } = await waiting;
    expect(code).toBe(1);
    expect(stderr).toMatch(/connection abort|not connected/i);
  } finally {
    daemon.kill('SIGCONT');
  }
});

test("a node's connections are those mounted in it, and those of its recorded daemons while they live", async () => {
  const id = await ownConnection();
  const self = await identifyProcess(process.pid);
  expect(await fuseConnections(self, base)).toContain(id);

  const ledger = join(base, 'kubelet/plugins/holdfast.mounter/qsd/one');
  await mkdir(ledger, { recursive: true });
  const identity = await identifyProcess(daemon.pid as number);
  const record = (startTicks: number | undefined) =>
    writeFile(
      join(ledger, 'ledger.json'),
      JSON.stringify({ daemon: { pid: 7, startTicks }, backing: { major: 0, minor: id } }),
    );
  await record(identity?.startTicks);
  expect(await fuseConnections(undefined, base)).toEqual([id]);
  await record(1);
  expect(await fuseConnections(undefined, base)).toEqual([]);
});

test('nothing is mounted where there is nothing to abort', async () => {
  await abortFuse([], base, signal);
  expect((await readdir(base)).toSorted()).toEqual(['export', 'image']);
});
