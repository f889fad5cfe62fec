import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensurePki } from '../../src/standalone/pki.ts';

export interface TestEtcd {
  readonly endpoint: string;
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string };
  /** kill -9, as a crash. */
  kill(): Promise<void>;
  /** On the same data and port. */
  start(): Promise<void>;
  close(): Promise<void>;
}

const cache = process.env['HOLDFAST_CACHE'] ?? '/var/cache/holdfast';

const isOpen = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

/** Two ports side by side that this process begins to look for where no other one does, as two runs may begin at once. */
async function freePorts(): Promise<readonly [number, number]> {
  const first = 24_000 + 2 * (process.pid % 1_000);
  for (let port = first; port < first + 100; port += 2)
    if (!(await isOpen(port)) && !(await isOpen(port + 1))) return [port, port + 1];
  throw new Error(`no free ports between ${first} and ${first + 99}`);
}

/** A real etcd from the tree, with TLS, on loopback. */
export async function startEtcd(): Promise<TestEtcd> {
  const { path: tree } = JSON.parse(await readFile(join(cache, 'tree.json'), 'utf8')) as { path: string };
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-test-etcd-'));
  const pki = await ensurePki({ directory: join(folder, 'pki'), apiHosts: ['127.0.0.1'], nowMs: Date.now() });
  const [port, peerPort] = await freePorts();
  const client = `https://127.0.0.1:${port}`;
  const peer = `https://127.0.0.1:${peerPort}`;
  let child: ReturnType<typeof spawn> | undefined;

  async function start(): Promise<void> {
    child = spawn(
      join(tree, 'usr/bin/etcd'),
      [
        '--name=test',
        `--data-dir=${join(folder, 'data')}`,
        `--listen-client-urls=${client}`,
        `--advertise-client-urls=${client}`,
        `--listen-peer-urls=${peer}`,
        `--initial-advertise-peer-urls=${peer}`,
        `--initial-cluster=test=${peer}`,
        `--cert-file=${pki.etcdServerCert}`,
        `--key-file=${pki.etcdServerKey}`,
        `--trusted-ca-file=${pki.etcdCaCert}`,
        '--client-cert-auth',
        `--peer-cert-file=${pki.etcdServerCert}`,
        `--peer-key-file=${pki.etcdServerKey}`,
        `--peer-trusted-ca-file=${pki.etcdCaCert}`,
        '--heartbeat-interval=10',
        '--election-timeout=100',
        '--logger=zap',
        '--log-level=error',
      ],
      { stdio: 'ignore' },
    );
    for (let tries = 0; tries < 250; tries++) {
      if (await isOpen(port)) return;
      if (child.exitCode !== null) throw new Error(`etcd ended with ${child.exitCode}`);
      await sleep(20);
    }
    throw new Error('etcd does not answer');
  }

  async function kill(): Promise<void> {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  await start();
  const [ca, cert, key] = await Promise.all(
    [pki.etcdCaCert, pki.etcdClientCert, pki.etcdClientKey].map((file) => readFile(file, 'utf8')),
  );
  return {
    endpoint: `127.0.0.1:${port}`,
    tls: { ca: ca ?? '', cert: cert ?? '', key: key ?? '' },
    kill,
    start,
    async close() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
