import { mkdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import type { InstancePki } from '../pki.ts';
import { endProcess, spawnDetached } from '../../lib/detached-process.ts';
import type { Unit } from './unit.ts';

export interface EtcdOptions {
  /** Root of the unpacked tree. */
  readonly tree: string;
  readonly treeHash: string;
  readonly dataDir: string;
  readonly logFile: string;
  readonly port: number;
  readonly peerPort: number;
  readonly pki: InstancePki;
  readonly clock: Clock;
}

/** etcd on loopback, TLS with client certificates both ways. Debian's 3.4 refuses unix sockets. */
export function etcdUnit(options: EtcdOptions): Unit {
  const { tree, dataDir, port, peerPort, pki, clock } = options;
  const client = `https://127.0.0.1:${port}`;
  const peer = `https://127.0.0.1:${peerPort}`;
  const tls = (prefix: string, cert: string, key: string) => [
    `--${prefix}cert-file=${cert}`,
    `--${prefix}key-file=${key}`,
    `--${prefix}trusted-ca-file=${pki.etcdCaCert}`,
    `--${prefix}client-cert-auth`,
  ];
  return {
    name: 'etcd',
    needs: [],
    version: options.treeHash,
    logFiles: [options.logFile],
    async start(signal, spawned) {
      await mkdir(dataDir, { recursive: true, mode: 0o700 });
      const identity = await spawnDetached({
        file: join(tree, 'usr/bin/etcd'),
        args: [
          '--name=holdfast',
          `--data-dir=${dataDir}`,
          `--listen-client-urls=${client}`,
          `--advertise-client-urls=${client}`,
          `--listen-peer-urls=${peer}`,
          `--initial-advertise-peer-urls=${peer}`,
          `--initial-cluster=holdfast=${peer}`,
          ...tls('', pki.etcdServerCert, pki.etcdServerKey),
          ...tls('peer-', pki.etcdServerCert, pki.etcdServerKey),
          '--quota-backend-bytes=2147483648',
          // One member: nothing to elect against, so a restart need not wait a whole second for it.
          '--heartbeat-interval=10',
          '--election-timeout=100',
          '--logger=zap',
          '--log-outputs=stderr',
        ],
        env: { GOMAXPROCS: '2' },
        logFile: options.logFile,
      });
      await spawned(identity);
      while (!(await answers(port))) await clock.sleep(20, signal);
      return identity;
    },
    stop: (identity, signal) => endProcess(identity, 5000, signal),
  };
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: 500 });
    const settle = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
    socket.once('timeout', () => settle(false));
  });
