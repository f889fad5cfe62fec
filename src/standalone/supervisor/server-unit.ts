import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import { isRunning } from '../../lib/process-identity.ts';
import { endProcess, spawnDetached } from '../../lib/detached-process.ts';
import type { Unit } from './unit.ts';

export interface ServerUnitOptions {
  /** Node's binary and the bundle, of one release. */
  readonly node: string;
  readonly bundle: string;
  readonly release: string;
  readonly configFile: string;
  readonly logFile: string;
  /** Where its readiness is asked for. */
  readonly host: string;
  readonly port: number;
  readonly caFile: string;
  readonly clock: Clock;
}

// A busy machine takes seconds for the first TLS handshakes; a server that is up must not be taken for a dead one.
const readyTimeoutMs = 10_000;

/** The API server and the controllers, one process. */
export function serverUnit(options: ServerUnitOptions): Unit {
  const { node, bundle, clock } = options;
  return {
    name: 'server',
    needs: ['etcd', 'fabric'],
    version: options.release,
    logFiles: [options.logFile],
    async start(signal, spawned) {
      const identity = await spawnDetached({
        file: node,
        // Room for new objects grows with a burst, such as a bring-up, to three times 16 MiB and stays.
        args: [
          '--max-old-space-size=1024',
          '--max-semi-space-size=4',
          bundle,
          'server',
          '--config',
          options.configFile,
        ],
        env: {},
        logFile: options.logFile,
      });
      await spawned(identity);
      const ca = await readFile(options.caFile, 'utf8');
      while (!(await isReady(options.host, options.port, ca))) {
        if (!(await isRunning(identity)))
          throw new Error(`the server ended while it started; see ${options.logFile}`);
        await clock.sleep(20, signal);
      }
      return identity;
    },
    stop: (identity, signal) => endProcess(identity, 10_000, signal),
  };
}

function isReady(host: string, port: number, ca: string): Promise<boolean> {
  return new Promise((resolve) => {
    const call = request(
      { host, port, path: '/readyz', ca, timeout: readyTimeoutMs, agent: false },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode === 200);
      },
    );
    call.once('error', () => resolve(false));
    call.once('timeout', () => call.destroy());
    call.end();
  });
}

/** Where a release of an instance holds its programs. */
export const releaseFiles = (releasesDir: string, hash: string) => ({
  node: join(releasesDir, hash, 'node'),
  bundle: join(releasesDir, hash, 'holdfast.mjs'),
  deploy: join(releasesDir, hash, 'deploy'),
  examples: join(releasesDir, hash, 'examples'),
});
