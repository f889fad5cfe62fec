import { backoffMs } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { cephError, cephErrorFromCode } from '../errno.ts';
import type { CephConnection } from '../seam.ts';
import { closed, enqueue, lost, notConnected, timedOut, type Call } from './call.ts';
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

const queueLimit = 2048; // Beyond it the callers outrun Ceph for good, and must hear so.
const connectLimitMs = 15_000;
const restart = { baseMs: 100, maxMs: 5_000, jitter: 0.2 };
const blocklisted = -108;

/** What one broker knows; changed only by the functions below, one turn of the event loop at a time. */
interface State {
  readonly connection: CephConnection;
  readonly deps: BrokerDeps;
  readonly queue: Call[];
  readonly inFlight: Map<number, { readonly call: Call; readonly limit: AbortController }>;
  readonly stopped: AbortController;
  session: BrokerSession | undefined;
  /** The session's connection is made. */
  ready: boolean;
  starting: boolean;
  /** Ends and failed connections since the last answer. */
  failures: number;
  nextId: number;
}

export function createBroker(connection: CephConnection, deps: BrokerDeps): Broker {
  const state: State = {
    connection,
    deps,
    queue: [],
    inFlight: new Map(),
    stopped: new AbortController(),
    session: undefined,
    ready: false,
    starting: false,
    failures: 0,
    nextId: 1,
  };
  const { queue, inFlight, stopped } = state;
  return {
    get pid() {
      return state.session?.pid;
    },
    call(operation, args, { signal, timeoutMs, label = operation }) {
      if (signal.aborted) return Promise.reject(signal.reason as Error);
      if (stopped.signal.aborted) return Promise.reject(closed({ label }));
      if (queue.length >= queueLimit)
        return Promise.reject(
          cephError('EAGAIN', label, `${queueLimit} calls wait for this cluster already`),
        );
      return enqueue(
        { operation, args, label, timeoutMs },
        { signal, clock: deps.clock, queue, pump: () => pump(state) },
      );
    },
    async close() {
      if (stopped.signal.aborted) return;
      stopped.abort(new Error('closed'));
      for (const call of queue.splice(0)) call.settle({ error: closed(call) });
      for (const { call, limit } of inFlight.values()) {
        limit.abort();
        call.settle({ error: closed(call) });
      }
      inFlight.clear();
      await state.session?.end();
    },
  };
}

/** Starts a child where one is needed, and gives it as many calls as it has threads. */
function pump(state: State): void {
  if (state.stopped.signal.aborted || state.queue.length === 0) return;
  const { session } = state;
  if (!session && !state.starting) void start(state);
  else if (session && state.ready)
    for (const call of state.queue.splice(0, brokerThreads - state.inFlight.size))
      dispatch(state, session, call);
}

function dispatch(state: State, session: BrokerSession, call: Call): void {
  const { clock } = state.deps;
  const id = state.nextId++;
  const limit = new AbortController();
  state.inFlight.set(id, { call, limit });
  call.waiting.abort();
  // What is left of the caller's limit, but never less than half: a call that waited long must not make the
  // child be killed over a millisecond.
  const leftMs = call.timeoutMs - (clock.now() - call.enqueuedAtMs);
  void clock.sleep(Math.max(leftMs, call.timeoutMs / 2), limit.signal).then(
    () => {
      if (!state.inFlight.delete(id)) return;
      // A thread in librados cannot be interrupted; only the whole child can. It goes first, so that whoever
      // hears of the time-out gets a new one.
      retire(state, session, `${call.label} took longer than ${call.timeoutMs} ms`);
      call.settle({ error: timedOut(call) });
    },
    () => undefined,
  );
  session.send({ id, operation: call.operation, arguments: call.args }, (response) => {
    limit.abort();
    if (!state.inFlight.delete(id)) return;
    if ('code' in response) {
      call.settle({ error: cephErrorFromCode(response.code, call.label, scrub(state, response.text)) });
      // A blocklisted client stays so; the next child has another address.
      if (response.code === blocklisted) retire(state, session, 'this client is blocklisted');
    } else {
      state.failures = 0;
      call.settle({ result: response.result });
    }
    pump(state);
  });
}

/** From here on calls go to a new child, though the exit of this one is still to be seen. */
function retire(state: State, session: BrokerSession, reason: string): void {
  session.kill(reason);
  onEnd(state, session, reason);
}

function onEnd(state: State, session: BrokerSession, how: string): void {
  if (state.session !== session) return;
  state.session = undefined;
  state.ready = false;
  const ended = [...state.inFlight.values()];
  state.inFlight.clear();
  if (!state.stopped.signal.aborted) {
    state.failures++;
    state.deps.log.warn(
      { pid: session.pid, how: scrub(state, how), lost: ended.length },
      'ceph broker ended',
    );
  }
  for (const { call, limit } of ended) {
    limit.abort();
    call.settle({ error: lost(call) });
  }
  pump(state);
}

async function start(state: State): Promise<void> {
  const { connection, deps, stopped } = state;
  let fresh: BrokerSession | undefined;
  state.starting = true;
  try {
    if (state.failures > 0) await deps.clock.sleep(backoffMs(state.failures - 1, restart), stopped.signal);
    fresh = startSession(deps.spawnBroker(), (session, how) => onEnd(state, session, how));
    state.session = fresh;
    await connect(fresh, connection, deps.clock, (text) => scrub(state, text));
    if (state.session === fresh) state.ready = true;
  } catch (error) {
    if (!stopped.signal.aborted)
      deps.log.warn(
        { reason: String(error), monHost: connection.monHost, user: connection.user },
        'ceph broker cannot connect',
      );
    if (state.session === fresh) {
      state.failures++;
      state.session = undefined;
    }
    fresh?.kill('it could not connect');
    for (const call of state.queue.splice(0)) call.settle({ error: notConnected(call, error) });
  } finally {
    state.starting = false;
  }
  pump(state);
}

const scrub = ({ connection: { key } }: State, text: string): string =>
  key === '' ? text : text.replaceAll(key, '***');

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
