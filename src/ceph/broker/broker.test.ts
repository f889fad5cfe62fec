import type { ChildProcess } from 'node:child_process';
import { EventEmitter, setMaxListeners } from 'node:events';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { virtualClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { isCephError } from '../errors.ts';
import { createBroker } from './broker.ts';
import { encodeFrame, frameReader, type BrokerRequest, type BrokerResponse } from './protocol.ts';
import { brokerThreads } from './spawn-broker.ts';

const { signal } = new AbortController();
setMaxListeners(0, signal); // Shared by all calls at once.
const connection = { monHost: '10.0.0.1:3300', user: 'client.a', key: 'c2VjcmV0' };

/** A child whose answers the test gives by hand. */
interface FakeChild {
  readonly requests: BrokerRequest[];
  answer(response: BrokerResponse): void;
  exit(signal?: NodeJS.Signals): void;
  killed: boolean;
}

function bench(
  onConnect: (child: FakeChild, id: number) => void = (child, id) => child.answer({ id, result: undefined }),
) {
  const clock = virtualClock();
  const children: FakeChild[] = [];
  const spawnBroker = () => {
    const events = new EventEmitter();
    const stdin = new PassThrough();
    const answers = new PassThrough();
    const child: FakeChild = {
      requests: [],
      answer: (response) => void answers.write(encodeFrame(response)),
      exit: (how) => void events.emit('exit', how ? null : 0, how ?? null),
      killed: false,
    };
    stdin.on(
      'data',
      frameReader((message) => {
        const request = message as BrokerRequest;
        if (request.operation === 'connect') onConnect(child, request.id);
        else child.requests.push(request);
      }),
    );
    stdin.on('end', () => child.exit());
    children.push(child);
    return Object.assign(events, {
      pid: 1000 + children.length,
      stdin,
      stderr: new PassThrough(),
      stdio: [stdin, null, null, answers],
      kill: (how: NodeJS.Signals) => {
        child.killed = true;
        setImmediate(() => child.exit(how));
        return true;
      },
    }) as unknown as ChildProcess;
  };
  const broker = createBroker(connection, { spawnBroker, clock, log: silentLogger });
  const outcome = (operation: string, timeoutMs = 1000) =>
    broker
      .call(operation, [], { signal, timeoutMs })
      .catch((error: unknown) =>
        isCephError(error)
          ? `${error.errnoName}${error.retryable ? ', retryable' : ''}: ${error.text}`
          : error,
      );
  return { broker, clock, children, outcome };
}

test('nothing starts before the first call; answers find their callers in any order', async () => {
  const { broker, clock, children, outcome } = bench();
  expect(children).toEqual([]);
  const calls = [outcome('a'), outcome('b')];
  await clock.advance(0);
  for (const request of children[0]!.requests.toReversed())
    children[0]!.answer({ id: request.id, result: request.operation });
  expect(await Promise.all(calls)).toEqual(['a', 'b']);
  await broker.close();
});

test('no more calls in flight than the child has threads', async () => {
  const { clock, children, outcome } = bench();
  const calls = Array.from({ length: brokerThreads + 3 }, (_, at) => outcome(`call ${at}`));
  await clock.advance(0);
  const [child] = children;
  expect(child!.requests).toHaveLength(brokerThreads);
  for (let at = 0; at < calls.length; at++) {
    child!.answer({ id: child!.requests[at]!.id, result: at });
    await clock.advance(0);
  }
  expect(await Promise.all(calls)).toEqual(calls.map((_, at) => at));
});

test('a call past its limit kills the child; the others in flight may try again; the next goes to a new child', async () => {
  const { clock, children, outcome } = bench();
  const slow = outcome('slow', 1000);
  const other = outcome('other', 5000);
  await clock.advance(1000);
  expect(children[0]!.killed).toBe(true);
  expect(await slow).toBe('ETIMEDOUT, retryable: no answer within 1000 ms');
  expect(await other).toBe('ENOTCONN, retryable: the broker ended during the call');
  const next = outcome('next', 5000);
  await clock.advance(0);
  expect(children).toHaveLength(1); // A pause first, so that a child that dies at once is not started in a loop.
  await clock.advance(100);
  expect(children).toHaveLength(2);
  children[1]!.answer({ id: children[1]!.requests[0]!.id, result: 'served' });
  expect(await next).toBe('served');
});

test('a child that dies by itself: its calls may try again', async () => {
  const { clock, children, outcome } = bench();
  const call = outcome('a');
  await clock.advance(0);
  children[0]!.exit('SIGABRT');
  expect(await call).toBe('ENOTCONN, retryable: the broker ended during the call');
});

test('a connection refused fails each waiting call, and the key is cut out of every text', async () => {
  const { clock, children, outcome } = bench((child, id) =>
    child.answer({ id, code: -13, text: `no access with ${connection.key}` }),
  );
  const call = outcome('a');
  await clock.advance(0);
  expect(await call).toBe('EACCES: no connection: no access with ***');
  expect(children[0]!.killed).toBe(true);
});

test('a blocklisted client is replaced, for its successor has another address', async () => {
  const { clock, children, outcome } = bench();
  const call = outcome('a');
  await clock.advance(0);
  children[0]!.answer({ id: children[0]!.requests[0]!.id, code: -108, text: '' });
  expect(await call).toBe('ESHUTDOWN, retryable: ');
  const next = outcome('b');
  await clock.advance(200);
  expect(children).toHaveLength(2);
  children[1]!.answer({ id: children[1]!.requests[0]!.id, result: 'served' });
  expect(await next).toBe('served');
});

test('an abort leaves at once; waiting in the queue is limited too; closing ends all', async () => {
  const { broker, clock, outcome } = bench(() => undefined); // It never connects.
  const own = new AbortController();
  const aborted = broker.call('a', [], { signal: own.signal, timeoutMs: 1000 });
  own.abort(new Error('enough'));
  await expect(aborted).rejects.toThrow('enough');
  const late = outcome('b', 1000);
  await clock.advance(1000);
  expect(await late).toBe('ETIMEDOUT, retryable: no answer within 1000 ms');
  const waiting = outcome('c', 60_000);
  await broker.close();
  expect(await waiting).toBe('ESHUTDOWN, retryable: this connection was closed');
  expect(await outcome('d')).toBe('ESHUTDOWN, retryable: this connection was closed');
});

test('the queue is bounded', async () => {
  const { outcome, broker } = bench(() => undefined);
  const calls = Array.from({ length: 2048 }, () => outcome('a', 60_000));
  expect(await outcome('one too many')).toBe('EAGAIN, retryable: 2048 calls wait for this cluster already');
  await broker.close();
  await Promise.all(calls);
});
