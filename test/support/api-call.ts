import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { afterAll, beforeAll } from 'vitest';
import { startTestApi } from './api-server.ts';

// Answers are read freely by tests: what is not there fails the expectation.
export type Loose = { [key: string]: Loose } & { readonly length?: number };

export interface Answer {
  readonly code: number;
  readonly body: Loose;
  readonly headers: Headers;
}

export interface TestCalls {
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Opens a watch; `next` gives its events one by one. */
  watch(path: string): Promise<{ next(): Promise<Loose | undefined>; close(): void; code: number }>;
}

/** Raw HTTP against a test API, for tests that look at the wire. */
export function callsTo(url: string): TestCalls {
  return {
    async call(method, path, body, headers = {}) {
      const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
      const answer = await fetch(url + path, {
        method,
        headers: { 'content-type': 'application/json', ...headers },
        ...(text === undefined ? {} : { body: text }),
      });
      const received = await answer.text();
      const json = answer.headers.get('content-type')?.startsWith('application/json') === true;
      return {
        code: answer.status,
        headers: answer.headers,
        body: (json ? JSON.parse(received) : { text: received }) as Loose,
      };
    },
    async watch(path) {
      const own = new AbortController();
      const answer = await fetch(url + path, { signal: own.signal });
      const stream = Readable.fromWeb(answer.body as never);
      stream.on('error', () => undefined);
      const lines = createInterface({ input: stream })[Symbol.asyncIterator]();
      return {
        code: answer.status,
        async next() {
          const { value, done } = await lines.next();
          return done ? undefined : (JSON.parse(value) as Loose);
        },
        close: () => own.abort(),
      };
    },
  };
}

/** Raw HTTP against a test API that the tests of one file share. */
export function sharedTestApi(): TestCalls {
  let calls: TestCalls | undefined;
  let close: (() => Promise<void>) | undefined;
  beforeAll(async () => {
    const api = await startTestApi();
    close = api.close;
    calls = callsTo(api.url);
  });
  afterAll(() => close?.());
  const started = (): TestCalls => {
    if (!calls) throw new Error('the API is there only while tests run');
    return calls;
  };
  return {
    call: (...request) => started().call(...request),
    watch: (path) => started().watch(path),
  };
}
