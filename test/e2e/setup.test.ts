import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { requireAnswer } from '../../scripts/setup/reach.mjs';

const script = resolve(import.meta.dirname, '../../scripts/setup.mjs');
let cache: string;

beforeAll(async () => {
  cache = await mkdtemp('/var/tmp/holdfast-setup-');
});
afterAll(() => rm(cache, { recursive: true, force: true }));

interface Ended {
  readonly code: number | string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the script, behind `before` where given; `during` may interfere. */
function setUp(
  { cacheDir = cache, before = [] }: { readonly cacheDir?: string; readonly before?: readonly string[] } = {},
  during?: (pid: number) => Promise<void>,
): Promise<Ended> {
  const [file, ...args] = [...before, process.execPath, script];
  return new Promise((done, reject) => {
    const env = { ...process.env, HOLDFAST_CACHE: cacheDir };
    const child = execFile(file, args, { env, timeout: 200_000 }, (error, stdout, stderr) =>
      done({ code: error ? (error.code ?? error.signal ?? null) : 0, stdout, stderr }),
    );
    if (during && child.pid !== undefined) during(child.pid).catch(reject);
  });
}

const host = (file: string, ...args: string[]) => execFileSync(file, args, { encoding: 'utf8' });

/** What an installation would change on this machine. */
async function hostState() {
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8')));
  const ports = tables.flatMap(
    (table) =>
      table
        .split('\n')
        .map((line) => line.trim().split(/\s+/))
        .filter((fields) => fields[3] === '0A')
        .map((fields) => Number.parseInt(fields[1]?.split(':').at(-1) ?? '', 16))
        .filter((port) => port < 32_768), // Above are the ports that any program beside us may be given.
  );
  return {
    packages: host('dpkg-query', '--show', '--showformat', '${Package} ${Version} ${db:Status-Abbrev}\n'),
    units: host(
      'find',
      '/etc/systemd',
      '/etc/init.d',
      '/etc/rc3.d',
      '/lib/systemd/system',
      '-printf',
      '%p %l\n',
    ),
    accounts: await readFile('/etc/passwd', 'utf8'),
    apt: host('find', '/var/lib/apt', '/var/cache/apt', '-type', 'f', '-printf', '%p %s %T@\n'),
    ports: [...new Set(ports)].sort((a, b) => a - b),
  };
}

const oneLine = /^[^\n]+\n$/;

async function untilWorking(): Promise<void> {
  for (;;) {
    const names = await readdir(cache);
    const work = names.find((name) => name.startsWith('work-'));
    if (work && (await readdir(join(cache, work, 'apt/lists')).catch(() => [])).length > 1) return;
    await sleep(20);
  }
}

test('a user who is not root, and a machine without a network, read one line', async () => {
  const nobody = await setUp({
    before: ['setpriv', '--reuid=65534', '--clear-groups'],
    cacheDir: join(cache, 'x'),
  });
  expect(nobody).toMatchObject({ code: 1, stdout: '' });
  expect(nobody.stderr).toBe('the set-up needs root: run it as root, or with sudo\n');

  const startedMs = performance.now();
  const offline = await setUp({ before: ['unshare', '--net'] });
  // Half a second by itself; apt would try for half a minute before it said so.
  expect(performance.now() - startedMs).toBeLessThan(20_000);
  expect(offline.code).toBe(1);
  expect(offline.stderr).toMatch(oneLine);
  expect(offline.stderr).toContain('could not be downloaded (is there a network?)');
  expect(await readdir(cache)).toEqual([]);
});

test('a mirror that takes the connection and says nothing is no network, one that says 404 is', async () => {
  const folder = await mkdtemp('/var/tmp/holdfast-setup-');
  const silent = createServer(() => undefined).listen(0, '127.0.0.1');
  const poor = createServer((socket) =>
    socket.once('data', () => socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n')),
  ).listen(0, '127.0.0.1');
  await Promise.all([once(silent, 'listening'), once(poor, 'listening')]);
  const source = (server: typeof silent) =>
    `deb [signed-by=/k.gpg] http://127.0.0.1:${(server.address() as AddressInfo).port}/debian/ bookworm main`;
  const options = { folder, env: {}, signal: undefined, timeoutMs: 1000 };
  try {
    await expect(requireAnswer([source(silent)], options)).rejects.toThrow('no mirror answered in time');
    await requireAnswer([source(silent), source(poor)], options);
  } finally {
    silent.close();
    poor.close();
    await rm(folder, { recursive: true });
  }
});

test('Ctrl-C in the middle leaves nothing half-made', async () => {
  const stopped = await setUp({}, async (pid) => {
    await untilWorking();
    process.kill(pid, 'SIGINT');
  });
  expect(stopped.code).toBe(1);
  expect(stopped.stderr).toBe('interrupted; nothing was left half-made\n');
  expect(await readdir(cache)).toEqual([]);
});

test('after a kill, two at once make one tree, and the host is as it was', async () => {
  const before = await hostState();
  const killed = await setUp({}, async (pid) => {
    await untilWorking();
    process.kill(pid, 'SIGKILL');
  });
  expect(killed.code).not.toBe(0);
  const left = await readdir(cache);
  expect(left).toContain('setup.lock');

  const ends = await Promise.all([setUp(), setUp()]);
  expect(ends.map(({ code, stderr }) => ({ code, stderr }))).toEqual([
    { code: 0, stderr: '' },
    { code: 0, stderr: '' },
  ]);
  expect(ends.filter(({ stdout }) => stdout.includes('unpacking'))).toHaveLength(1);
  const tree = JSON.parse(await readFile(join(cache, 'tree.json'), 'utf8')) as {
    path: string;
    hash: string;
    packages: Record<string, string>;
  };
  // The kill left a lock and a folder; downloads do not stay either.
  expect((await readdir(cache)).toSorted()).toEqual(['tree.json', 'trees']);
  expect(await readdir(join(cache, 'trees'))).toEqual([tree.hash]);
  expect(Number.parseInt(tree.packages['ceph-osd'] ?? '')).toBeGreaterThanOrEqual(16);
  const after = await hostState();
  // Another program may have closed a port meanwhile; none may have been opened.
  expect(after.ports.filter((port) => !before.ports.includes(port))).toEqual([]);
  expect({ ...after, ports: [] }).toEqual({ ...before, ports: [] });
});

test('the tree runs by itself: accounts, libraries, certificates and Python are there', async () => {
  const { path } = JSON.parse(await readFile(join(cache, 'tree.json'), 'utf8')) as { path: string };
  const inTree = (...command: string[]) => host('chroot', path, ...command);
  expect(inTree('/usr/bin/ceph', '--version')).toMatch(/^ceph version \d+\./);
  expect(inTree('/usr/bin/id', 'ceph')).toContain('uid=64045(ceph) gid=64045(ceph)');
  expect(inTree('/usr/bin/containerd', '--version')).toContain('containerd');
  expect(inTree('/usr/sbin/iptables', '--version')).toContain('nf_tables');
  expect(inTree('/usr/bin/awk', 'BEGIN { print 6 * 7 }')).toBe('42\n');
  expect(await readFile(join(path, 'etc/ssl/certs/ca-certificates.crt'), 'utf8')).toContain(
    'BEGIN CERTIFICATE',
  );
  expect(host('find', path, '-maxdepth', '0', '-printf', '%m %u\n')).toBe('755 root\n');
  await expect(access(join(path, 'usr/share/doc/bash'))).rejects.toThrow('ENOENT');
});

test('a second run needs no network, changes nothing and takes no time', async () => {
  const before = host('stat', '--format=%Y %i', join(cache, 'tree.json'));
  const startedMs = performance.now();
  const again = await setUp({ before: ['unshare', '--net'] });
  const tookMs = performance.now() - startedMs;
  expect(again).toMatchObject({ code: 0, stderr: '' });
  expect(host('stat', '--format=%Y %i', join(cache, 'tree.json'))).toBe(before);
  expect(tookMs).toBeLessThan(1000); // 0.1 s by itself; the rest is for a busy machine.
});

test('a tree that somebody thinned out is made anew, but not while it is in use', async () => {
  const { path } = JSON.parse(await readFile(join(cache, 'tree.json'), 'utf8')) as { path: string };
  const user = spawn(join(path, 'usr/bin/catatonit'), ['-P'], { stdio: 'ignore' });
  try {
    await rm(join(path, 'usr/bin/runc'), { force: true });
    await rm(join(path, 'usr/sbin/runc'), { force: true });
    const refused = await setUp();
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/lacks files and is in use: run `holdfast down`, then try again\n$/);
    expect(refused.stderr).toMatch(oneLine);
  } finally {
    const gone = new Promise((done) => user.once('exit', done));
    user.kill('SIGKILL');
    await gone;
  }
  expect((await setUp()).code).toBe(0);
  await access(join(path, 'usr/sbin/runc'));
});
