import { spawn, type ChildProcess } from 'node:child_process';

/** How many calls run in the child at once: one pool thread each, so that none waits behind a stuck one. */
export const brokerThreads = 8;

// The child holds nothing for long; without limits V8 lets garbage pile up before it looks.
const heapLimits = ['--max-old-space-size=192', '--max-semi-space-size=2'];

/** Starts a broker child: frames to its stdin, answers on descriptor 3, its complaints on stderr. */
export type SpawnBroker = () => ChildProcess;

export interface BrokerCommand {
  /** Node's binary. */
  readonly command: string;
  /** `[/opt/holdfast/holdfast.mjs, broker]` */
  readonly args: readonly string[];
  /** Where librados lies, where it is not on the system's path. */
  readonly libraryPath?: readonly string[];
}

/** The child's environment, of its own: no CEPH_CONF, CEPH_ARGS or CEPH_KEYRING of ours reaches librados, and no secret is in it. */
export const brokerEnvironment = (libraryPath: readonly string[]): Record<string, string> => ({
  PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
  UV_THREADPOOL_SIZE: String(brokerThreads),
  // An arena per pool thread kept tens of MiB that were long freed.
  MALLOC_ARENA_MAX: '2',
  ...(libraryPath.length > 0 ? { LD_LIBRARY_PATH: libraryPath.join(':') } : {}),
});

export const brokerSpawner =
  ({ command, args, libraryPath = [] }: BrokerCommand): SpawnBroker =>
  () =>
    spawn(command, [...heapLimits, ...args], {
      stdio: ['pipe', 'ignore', 'pipe', 'pipe'],
      env: brokerEnvironment(libraryPath),
    });
