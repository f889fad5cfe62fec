import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  identifyProcess,
  isRunning,
  signalProcess,
  type ProcessIdentity,
} from '../../src/lib/process-identity.ts';
import { runCommand } from '../../src/lib/run-command.ts';
import type { CephTree } from './ceph-tree.ts';

/** The processes of one cluster, and the tools that make what they start from. */
export interface CephDaemons {
  /** `osd.0`, `mon.a`, `mgr.x` */
  readonly running: ReadonlyMap<string, ProcessIdentity>;
  /** Runs a tool of Ceph to its end. */
  run(name: string, args: readonly string[]): Promise<unknown>;
  start(name: string): Promise<void>;
  signal(name: string, signal: NodeJS.Signals): Promise<void>;
  /** The ends of what they said. */
  tails(): Promise<string>;
  stop(): Promise<void>;
}

/** They read `ceph.conf` of the cluster's folder, and write below `log` there. */
export function cephDaemons(dir: string, tree: CephTree, signal: AbortSignal): CephDaemons {
  const running = new Map<string, ProcessIdentity>();
  const env = { ...tree.env, CEPH_CONF: join(dir, 'ceph.conf') };
  const bin = (name: string) => join(tree.root, 'usr/bin', name);
  return {
    running,
    run: (name, args) => runCommand(bin(name), args, { signal, env, timeoutMs: 60_000 }),
    async start(name) {
      const [kind = '', id = ''] = name.split('.');
      const log = openSync(join(dir, 'log', `${name}.out`), 'a');
      const child = spawn(bin(`ceph-${kind}`), ['-f', '-i', id], {
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', ...env },
        stdio: ['ignore', log, log],
        detached: true, // Ctrl-C of the test run is ours to handle, not theirs.
      });
      closeSync(log);
      child.on('error', () => undefined);
      child.unref();
      const identity = child.pid === undefined ? undefined : await identifyProcess(child.pid);
      if (!identity) throw new Error(`${name} did not start`);
      running.set(name, identity);
    },
    async signal(name, wanted) {
      const identity = running.get(name);
      if (!identity || !(await signalProcess(identity, wanted))) throw new Error(`${name} does not run`);
    },
    tails: () => tails(dir, [...running.keys()]),
    stop: () => stopAll(running),
  };
}

/** Ends what still is the process that was started; never a later one of the same pid. */
async function stopAll(daemons: ReadonlyMap<string, ProcessIdentity>): Promise<void> {
  const all = [...daemons.values()];
  for (const identity of all) {
    await signalProcess(identity, 'SIGCONT');
    await signalProcess(identity, 'SIGTERM');
  }
  for (let waitedMs = 0; waitedMs < 5_000; waitedMs += 50) {
    if (!(await Promise.all(all.map(isRunning))).includes(true)) return;
    await sleep(50);
  }
  for (const identity of all) await signalProcess(identity, 'SIGKILL');
}

async function tails(dir: string, names: readonly string[]): Promise<string> {
  const texts = await Promise.all(
    names.map(async (name) => {
      const text = await readFile(join(dir, 'log', `${name}.out`), 'utf8').catch(() => '');
      return text.trim() === '' ? '' : `--- ${name}\n${text.slice(-1500)}`;
    }),
  );
  return texts.join('\n');
}
