import { backoffMs } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { cephError, cephErrorFromCode } from '../errno.ts';
import { isCephError } from '../errors.ts';
import type { CephConnection } from '../seam.ts';
import { startSession, type BrokerSession } from './session.ts';
import { brokerThreads, type SpawnBroker } from './spawn-broker.ts';

export interface BrokerDeps {
  readonly spawnBroker: SpawnBroker;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface BrokerCallOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  /** The name in errors, where it is not the operation's: a command's prefix. */
  readonly label?: string;
}

/** The parent's side of one broker child: started when first needed, again after it died. */
export interface Broker {
  call(operation: string, args: readonly unknown[], options: BrokerCallOptions): Promise<unknown>;
  /** The living child's pid, undefined while there is none. */
  readonly pid: number | undefined;
  close(): Promise<void>;
}

interface Call {
  readonly operation: string;
  readonly args: readonly unknown[];
  readonly label: string;
  readonly timeoutMs: number;
  readonly enqueuedAtMs: number;
  /** Ends the limit on waiting; the limit on running begins. */
  readonly waiting: AbortController;
  /** Set once the caller has its answer; a call in flight then still holds its thread. */
  settled: boolean;
  settle(outcome: { readonly result: unknown } | { readonly error: unknown }): void;
}

const queueLimit = 2048; // Beyond it the callers outrun Ceph for good, and must hear so.
const connectLimitMs = 15_000;
const restart = { baseMs: 100, maxMs: 5_000, jitter: 0.2 };
const blocklisted = -108;

export function createBroker(connection: CephConnection, deps: BrokerDeps): Broker {
  const { clock, log } = deps;
  const queue: Call[] = [];
  const inFlight = new Map<number, Call>();
  const stopped = new AbortController();
  let session: BrokerSession | undefined;
  let ready = false;
  let starting = false;
  let failures = 0;
  let nextId = 1;

  const scrub = (text: string) => (connection.key === '' ? text : text.replaceAll(connection.key, '***'));

  const onEnd = (ended: BrokerSession, how: string) => {
    if (session !== ended) return;
    session = undefined;
    ready = false;
    const lost = [...inFlight.values()];
    inFlight.clear();
    if (!stopped.signal.aborted) {
      failures++;
      log.warn({ pid: ended.pid, how: scrub(how), lost: lost.length }, 'ceph broker ended');
    }
    for (const call of lost)
      call.settle({ error: cephError('ENOTCONN', call.label, 'the broker ended during the call') });
    pump();
  };

  /** From here on calls go to a new child, though the exit of this one is still to be seen. */
  const retire = (current: BrokerSession, reason: string) => {
    current.kill(reason);
    onEnd(current, reason);
  };

  const dispatch = (current: BrokerSession, call: Call) => {
    const id = nextId++;
    inFlight.set(id, call);
    const limit = new AbortController();
    call.waiting.abort();
    // What is left of the caller's limit, but never less than half: a call that waited long must not make the
    // child be killed over a millisecond.
    const leftMs = call.timeoutMs - (clock.now() - call.enqueuedAtMs);
    void clock.sleep(Math.max(leftMs, call.timeoutMs / 2), limit.signal).then(
      () => {
        if (inFlight.get(id) !== call) return;
        inFlight.delete(id);
        // A thread in librados cannot be interrupted; only the whole child can. It goes first, so that whoever
        // hears of the time-out gets a new one.
        retire(current, `${call.label} took longer than ${call.timeoutMs} ms`);
        call.settle({ error: timedOut(call) });
      },
      () => undefined,
    );
    current.send({ id, operation: call.operation, arguments: call.args }, (response) => {
      limit.abort();
      if (!inFlight.delete(id)) return;
      if ('code' in response) {
        const error = cephErrorFromCode(response.code, call.label, scrub(response.text));
        call.settle({ error });
        // A blocklisted client stays so; the next child has another address.
        if (response.code === blocklisted) retire(current, 'this client is blocklisted');
      } else {
        failures = 0;
        call.settle({ result: response.result });
      }
      pump();
    });
  };

  const start = async () => {
    starting = true;
    let fresh: BrokerSession | undefined;
    try {
      if (failures > 0) await clock.sleep(backoffMs(failures - 1, restart), stopped.signal);
      fresh = startSession(deps.spawnBroker(), onEnd);
      session = fresh;
      await connect(fresh, connection, clock, scrub);
      if (session === fresh) ready = true;
    } catch (error) {
      if (!stopped.signal.aborted) {
        if (session === fresh) failures++;
        log.warn(
          { reason: String(error), monHost: connection.monHost, user: connection.user },
          'ceph broker cannot connect',
        );
      }
      if (session === fresh) session = undefined;
      fresh?.kill('it could not connect');
      for (const call of queue.splice(0)) call.settle({ error: connectFailure(call, error) });
    } finally {
      starting = false;
    }
    pump();
  };

  const pump = () => {
    if (stopped.signal.aborted || queue.length === 0) return;
    if (!session && !starting) {
      void start();
      return;
    }
    if (!session || !ready) return;
    for (const call of queue.splice(0, brokerThreads - inFlight.size)) dispatch(session, call);
  };

  return {
    get pid() {
      return session?.pid;
    },
    call(operation, args, { signal, timeoutMs, label = operation }) {
      if (signal.aborted) return Promise.reject(signal.reason as Error);
      if (stopped.signal.aborted)
        return Promise.reject(cephErrorFromCode(108, label, 'this connection was closed'));
      if (queue.length >= queueLimit)
        return Promise.reject(
          cephError('EAGAIN', label, `${queueLimit} calls wait for this cluster already`),
        );
      return enqueue({ operation, args, label, timeoutMs }, { signal, clock, queue, pump });
    },
    async close() {
      if (stopped.signal.aborted) return;
      stopped.abort(new Error('closed'));
      const ending = session;
      for (const call of queue.splice(0)) call.settle({ error: closedError(call) });
      for (const call of inFlight.values()) call.settle({ error: closedError(call) });
      inFlight.clear();
      await ending?.end();
    },
  };
}

const timedOut = (call: Pick<Call, 'label' | 'timeoutMs'>) =>
  cephError('ETIMEDOUT', call.label, `no answer within ${call.timeoutMs} ms`);
const closedError = (call: Call) => cephErrorFromCode(108, call.label, 'this connection was closed');

/** Each waiting call fails as itself, with the reason why there is no connection. */
function connectFailure(call: Call, error: unknown): unknown {
  if (!isCephError(error)) return cephError('ENOTCONN', call.label, 'the broker could not be started');
  return cephErrorFromCode(error.errno, call.label, `no connection: ${error.text || error.errnoName}`);
}

function enqueue(
  wanted: Pick<Call, 'operation' | 'args' | 'label' | 'timeoutMs'>,
  { signal, clock, queue, pump }: { signal: AbortSignal; clock: Clock; queue: Call[]; pump: () => void },
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call: Call = {
      ...wanted,
      enqueuedAtMs: clock.now(),
      waiting: new AbortController(),
      settled: false,
      settle(outcome) {
        if (call.settled) return;
        call.settled = true;
        call.waiting.abort();
        signal.removeEventListener('abort', onAbort);
        if ('error' in outcome) reject(outcome.error as Error);
        else resolve(outcome.result);
      },
    };
    const leave = (error: unknown) => {
      const at = queue.indexOf(call);
      if (at >= 0) queue.splice(at, 1);
      call.settle({ error });
    };
    const onAbort = () => leave(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    void clock.sleep(wanted.timeoutMs, call.waiting.signal).then(
      () => leave(timedOut(call)),
      () => undefined,
    );
    queue.push(call);
    pump();
  });
}

async function connect(
  session: BrokerSession,
  connection: CephConnection,
  clock: Clock,
  scrub: (text: string) => string,
): Promise<void> {
  const { monHost, user, key, settings = {} } = connection;
  const limit = new AbortController();
  try {
    await new Promise<void>((resolve, reject) => {
      void clock.sleep(connectLimitMs, limit.signal).then(
        () => reject(cephError('ETIMEDOUT', 'connect', `no connection within ${connectLimitMs} ms`)),
        () => undefined,
      );
      session.send(
        { id: 0, operation: 'connect', arguments: [{ monHost, user, key, settings }] },
        (response) =>
          'code' in response
            ? reject(cephErrorFromCode(response.code, 'connect', scrub(response.text)))
            : resolve(),
      );
      void session.ended.then((how) => reject(cephError('ENOTCONN', 'connect', scrub(how))));
    });
  } finally {
    limit.abort();
  }
}
