import { setMaxListeners } from 'node:events';
import type { Ceph, CephOpener } from '../../src/ceph/seam.ts';
import type { KubeClient } from '../../src/kube/client.ts';

/** What a killed process meets: neither a KubeError nor a CephError, so that nothing handles it. */
export class KilledError extends Error {
  readonly code = 'KILLED';

  constructor() {
    super('killed');
    this.name = 'KilledError';
  }
}

/**
 * One life of a process whose ways to the world go through here. It dies, as by kill -9, when its last write was
 * made: the answer is not seen, what it sent beside that is taken in, and nothing else ever leaves it.
 */
export interface MortalProcess {
  /** Aborts at its death: what it runs is to end without a trace. */
  readonly signal: AbortSignal;
  readonly isAlive: boolean;
  /** What it wrote, such as `patch CephCluster rook-ceph` or `mon osd pool create`. */
  readonly writes: readonly string[];
  kube(client: KubeClient): KubeClient;
  ceph(open: CephOpener): CephOpener;
  kill(): void;
  /** Resolves once it is dead and what it had sent is taken in. */
  readonly ended: Promise<void>;
}

const kubeReads = ['get', 'list', 'listPage', 'watchOnce', 'close'];
const cephReads = ['poolId', 'poolName', 'close'];
const rbdReads = ['info', 'list', 'watchers', 'metadataGet', 'trashList'];
const objectReads = ['omapGet', 'omapList', 'lockHolders'];
/** Commands to mons and mgrs that change nothing; one that is not known here counts as a write. */
const readingCommand = /^(status|versions|df|health)$|( ls| dump| tree| df| stat| get|-to-stop|-to-destroy)$/;

/**
 * A process that lives until `lastWrite` writes were made; Infinity where only `kill` ends it. What it writes just
 * as one before it did, such as a proof that a pool takes writes, is no step ahead and is not counted: `history` has
 * the writes of all lives.
 */
export function mortalProcess(lastWrite: number, history = new Set<string>()): MortalProcess {
  const { call, isAlive, ...life } = lifeOf(lastWrite, history);
  const among = (reads: readonly string[]) => (method: string) => reads.includes(method);
  const isCephRead = (method: string, [command]: unknown[]) =>
    method === 'mon' || method === 'mgr'
      ? readingCommand.test((command as { prefix: string }).prefix)
      : cephReads.includes(method);
  const ceph = (inner: Ceph): Ceph => {
    const rbd = guarded(call, inner.rbd, among(rbdReads));
    const objects = guarded(call, inner.objects, among(objectReads));
    return guarded(call, { ...inner, rbd, objects }, isCephRead);
  };
  // An event is news, and no step of anything.
  const isKubeRead = (method: string, [request]: unknown[]) =>
    method === 'request'
      ? (request as { method: string }).method === 'GET'
      : kubeReads.includes(method) || (request as { kind?: string }).kind === 'Event';
  return {
    ...life,
    get isAlive() {
      return isAlive();
    },
    kube: (client) => guarded(call, client, isKubeRead),
    ceph: (open) => (connection) => ceph(open(connection)),
  };
}

/** Makes a call, or does not; `write` says what it writes, where it does. */
type Caller = (
  write: Write | undefined,
  send: (isAlive: () => boolean) => Promise<unknown>,
) => Promise<unknown>;

function lifeOf(lastWrite: number, history: Set<string>) {
  const own = new AbortController();
  const sent = new Set<Promise<unknown>>();
  const writes: string[] = [];
  const waiting: (() => void)[] = [];
  let begun = 0;
  let isDead: () => void = () => undefined;
  const death = new Promise<void>((resolve) => {
    isDead = resolve;
  });
  const isAlive = () => !own.signal.aborted;
  const kill = () => {
    own.abort(new KilledError());
    isDead();
  };
  const isLastUnderWay = () => isAlive() && begun >= lastWrite;
  /** While its last write is under way it makes no other; where that is refused, another is the last. */
  const turn = async () => {
    while (isLastUnderWay())
      await Promise.race([death, new Promise<void>((resolve) => waiting.push(resolve))]);
  };
  const call: Caller = async (write, send) => {
    const isStep = write !== undefined && !history.has(write.content);
    if (isStep) await turn();
    if (!isAlive()) throw new KilledError();
    if (isStep) begun++;
    const running = send(isAlive);
    sent.add(running);
    try {
      const answer = await running;
      if (isStep) {
        history.add(write.content);
        if (writes.push(write.title) >= lastWrite) kill();
      }
      if (!isAlive()) throw new KilledError();
      return answer;
    } catch (error) {
      if (isStep && isAlive()) {
        begun--; // Refused: nothing was written.
        for (const wake of waiting.splice(0)) wake();
      }
      throw isAlive() ? error : new KilledError();
    } finally {
      sent.delete(running);
    }
  };
  const ended = death.then(async () => void (await Promise.allSettled(sent)));
  return { signal: own.signal, writes, ended, kill, isAlive, call };
}

/** The same as `target`, by calls that die with the process. */
function guarded<T extends object>(
  call: Caller,
  target: T,
  isRead: (method: string, args: unknown[]) => boolean,
): T {
  return new Proxy(target, {
    get(_, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      const method = String(name);
      return (...args: unknown[]) => {
        const send = (given: unknown[]) => Reflect.apply(value, target, given) as unknown;
        // A watch only reads, and ends with the process's signal.
        if (method === 'watchOnce' || method === 'close') return send(args);
        return call(isRead(method, args) ? undefined : described(method, args), async (isAlive) => {
          const lasting = args.map((one) => lastingOptions(one, isAlive));
          try {
            return await send(lasting.map(({ argument }) => argument));
          } finally {
            for (const one of lasting) one.letGo();
          }
        });
      };
    },
  });
}

interface Write {
  /** `patch CephCluster`, `mon osd pool create`, `omapSet rbd csi.volumes.default` */
  readonly title: string;
  readonly content: string;
}

function described(method: string, args: readonly unknown[]): Write {
  const words = args.slice(0, 2).map((arg) => {
    if (typeof arg !== 'object' || arg === null) return arg;
    const { prefix, kind, pool, path, name } = arg as Record<string, unknown>;
    return prefix ?? kind ?? pool ?? path ?? name;
  });
  const title = [method, ...words.filter((word) => typeof word === 'string')].join(' ');
  const plain = (_: string, value: unknown) =>
    value instanceof Map ? [...value] : typeof value === 'bigint' ? String(value) : value;
  // A status that comes and goes is no step ahead either.
  const content = JSON.stringify([title, ...args.slice(0, 3)], plain)
    .replaceAll(/"resourceVersion":"\d+"/g, '')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '');
  return { title, content };
}

/** Options whose signal no longer aborts once the process is dead: what was sent arrives. */
function lastingOptions(argument: unknown, isAlive: () => boolean) {
  const signal = (argument as { signal?: unknown } | undefined)?.signal;
  if (!(signal instanceof AbortSignal)) return { argument, letGo: () => undefined };
  const lasting = new AbortController();
  const pass = () => {
    if (isAlive()) lasting.abort(signal.reason);
  };
  if (signal.aborted) pass();
  setMaxListeners(0, signal); // One reconcile’s signal is given to many calls.
  signal.addEventListener('abort', pass, { once: true });
  return {
    argument: { ...(argument as object), signal: lasting.signal },
    letGo: () => signal.removeEventListener('abort', pass),
  };
}
