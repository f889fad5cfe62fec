import { Socket } from 'node:net';
import {
  breakLock,
  createExclusive,
  lockHolders,
  lockObject,
  omapGet,
  omapList,
  omapRemove,
  omapSet,
  removeObject,
  unlockObject,
} from './object-operations.ts';
import { connectCluster, poolId, poolName, runCommand, type Cluster } from './cluster.ts';
import { loadKoffi } from '../../lib/koffi.ts';
import { CodeError } from './koffi-api.ts';
import { systemLibraries, type CephLibraries } from './library.ts';
import {
  encodeFrame,
  frameReader,
  type BrokerRequest,
  type BrokerResponse,
  type ConnectRequest,
} from './protocol.ts';
import {
  createImage,
  createNamespace,
  imageInfo,
  imageWatchers,
  initPool,
  listImages,
  metadataGet,
  metadataSet,
  removeImage,
  resizeImage,
  trashList,
  trashMove,
  trashRemove,
} from './rbd-operations.ts';

type Operation = (cluster: Cluster, ...args: never[]) => Promise<unknown>;

const operations = {
  command: runCommand,
  'pool id': poolId,
  'pool name': poolName,
  'object create': createExclusive,
  'object remove': removeObject,
  'omap get': omapGet,
  'omap list': omapList,
  'omap set': omapSet,
  'omap remove': omapRemove,
  lock: lockObject,
  unlock: unlockObject,
  'lock break': breakLock,
  'lock holders': lockHolders,
  'rbd create': createImage,
  'rbd info': imageInfo,
  'rbd list': listImages,
  'rbd remove': removeImage,
  'rbd resize': resizeImage,
  'rbd watchers': imageWatchers,
  'rbd metadata get': metadataGet,
  'rbd metadata set': metadataSet,
  'rbd namespace create': createNamespace,
  'rbd pool init': initPool,
  'rbd trash move': trashMove,
  'rbd trash remove': trashRemove,
  'rbd trash list': trashList,
} as const satisfies Record<string, Operation>;

export type OperationName = keyof typeof operations;

export interface BrokerChildOptions {
  readonly libraries?: CephLibraries;
  /** Where answers go; file descriptor 3 where not said. */
  readonly answerFd?: number;
}

/**
 * The broker child's main: reads frames from stdin, runs them through librados and librbd, answers on
 * descriptor 3. It ends with its parent: the end of stdin is the parent's death. It ends by SIGKILL, for a
 * thread stuck in librados would keep an orderly exit waiting. Never returns.
 */
export async function runBroker(options: BrokerChildOptions = {}): Promise<never> {
  const answers = new Socket({ fd: options.answerFd ?? 3, readable: false, writable: true });
  answers.on('error', () => process.kill(process.pid, 'SIGKILL'));
  const answer = (response: BrokerResponse) => void answers.write(encodeFrame(response));
  let connecting: Promise<Cluster> | undefined;

  const serve = async ({ id, operation, arguments: args }: BrokerRequest) => {
    try {
      if (operation === 'connect') {
        connecting = connect(options.libraries ?? systemLibraries, args[0] as ConnectRequest);
        await connecting;
        answer({ id, result: undefined });
        return;
      }
      const run = operations[operation as OperationName] as Operation | undefined;
      if (!run || !connecting) throw new CodeError(-22, `the broker has no operation ${operation}`);
      const cluster = await connecting;
      answer({ id, result: await run(cluster, ...(args as never[])) });
    } catch (error) {
      if (error instanceof CodeError) answer({ id, code: error.code, text: error.text });
      else answer({ id, code: -5, text: String(error instanceof Error ? error.message : error) });
    }
  };

  process.stdin.on(
    'data',
    frameReader((message) => void serve(message as BrokerRequest)),
  );
  process.stdin.on('end', () => process.kill(process.pid, 'SIGKILL'));
  process.stdin.on('error', () => process.kill(process.pid, 'SIGKILL'));
  return await new Promise<never>(() => undefined);
}

async function connect(libraries: CephLibraries, request: ConnectRequest): Promise<Cluster> {
  return await connectCluster(await loadKoffi(), libraries, request);
}
