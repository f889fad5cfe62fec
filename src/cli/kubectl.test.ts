import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { layout } from '../standalone/layout.ts';
import { findKubectl, readZipEntry, runKubectl } from './kubectl.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kubectl-'));
});
afterEach(() => rm(folder, { recursive: true }));

const fakeKubectl = async (minor: string) => {
  const answer = JSON.stringify({ clientVersion: { major: '1', minor } });
  await writeFile(join(folder, 'kubectl'), `#!/bin/sh\necho '${answer}'\n`, { mode: 0o755 });
};

test("takes the PATH's kubectl from 1.26 on", async () => {
  await fakeKubectl('26+');
  const place = { searchPath: `/nowhere:${folder}`, cacheDir: '/nowhere' };
  expect(await findKubectl(place, new AbortController().signal)).toBe(join(folder, 'kubectl'));
});

test('passes over an older one, for the one in the cache', async () => {
  await fakeKubectl('20');
  const cached = join(folder, 'kubectl-cache');
  const { mkdir } = await import('node:fs/promises');
  await mkdir(join(cached, 'kubectl/2.2.2'), { recursive: true });
  await writeFile(join(cached, 'kubectl/2.2.2/kubectl'), '', { mode: 0o755 });
  const found = await findKubectl({ searchPath: folder, cacheDir: cached }, new AbortController().signal);
  expect(found).toBe(join(cached, 'kubectl/2.2.2/kubectl'));
});

test('a SIGTERM that reaches us alone ends kubectl too, and is what we end with', async () => {
  const file = join(folder, 'kubectl');
  await writeFile(file, '#!/bin/sh\nexec sleep 60\n', { mode: 0o755 });
  const others = process.listeners('SIGTERM');
  const code = runKubectl(file, [], layout('/nowhere'), { PATH: '/usr/bin:/bin' });
  const pass = process.listeners('SIGTERM').find((one) => !others.includes(one));
  pass?.('SIGTERM');
  expect(await code).toBe(143);
  expect(process.listeners('SIGTERM')).toEqual(others);
});

test('keeps what kubectl remembers with the instance, unless the person has a place for it', async () => {
  const file = join(folder, 'kubectl');
  const told = join(folder, 'told');
  await writeFile(file, `#!/bin/sh\necho "$KUBECONFIG $KUBECACHEDIR" > ${told}\n`, { mode: 0o755 });
  expect(await runKubectl(file, [], layout('/data'), {})).toBe(0);
  expect(await readFile(told, 'utf8')).toBe('/data/kubeconfig /data/kubectl-cache\n');
  expect(await runKubectl(file, [], layout('/data'), { KUBECACHEDIR: '/mine' })).toBe(0);
  expect(await readFile(told, 'utf8')).toBe('/data/kubeconfig /mine\n');
});

// A zip with one stored and one deflated file, made by hand.
function zipOf(files: readonly { name: string; content: Buffer; method: 0 | 8 }[]): Buffer {
  const bodies: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, content, method } of files) {
    const packed = method === 0 ? content : deflateRawSync(content);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(name.length, 26);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(method, 10);
    central.writeUInt32LE(packed.length, 20);
    central.writeUInt16LE(name.length, 28);
    central.writeUInt32LE(at, 42);
    bodies.push(local, Buffer.from(name), packed);
    directory.push(central, Buffer.from(name));
    at += 30 + name.length + packed.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...bodies, ...directory, end]);
}

test('reads one file out of a zip archive', () => {
  const content = Buffer.from('a program '.repeat(100));
  const zip = zipOf([
    { name: 'helm/helm', content: Buffer.from('other'), method: 0 },
    { name: 'kubectl/kubectl', content, method: 8 },
  ]);
  expect(readZipEntry(zip, 'kubectl/kubectl').equals(content)).toBe(true);
  expect(() => readZipEntry(zip, 'kubectl/none')).toThrow('holds no kubectl/none');
});
