import { request } from 'node:https';
import { parentPort, workerData } from 'node:worker_threads';
import { z } from 'zod';

// Runs in a thread of its own: watchers that share the event loop of the clock would slow what it measures.
// They read all they get and count lines, and decode nothing.

const Orders = z.object({
  url: z.string(),
  ca: z.string(),
  cert: z.string(),
  key: z.string(),
  path: z.string(),
  count: z.int(),
});

export type WatcherOrders = z.infer<typeof Orders>;

/** `{ open }` once all are, and `{ events }` when asked. */
export interface WatcherReport {
  readonly open?: number;
  readonly events?: number;
  readonly error?: string;
}

const newline = '\n'.charCodeAt(0);

function watchAll({ url, ca, cert, key, path, count }: WatcherOrders): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
  const say = (report: WatcherReport) => parentPort?.postMessage(report);
  let open = 0;
  let events = 0;
  for (let at = 0; at < count; at++) {
    const call = request(new URL(path, url), { ca, cert, key, agent: false }, (answer) => {
      if (answer.statusCode !== 200) return say({ error: `a watch was answered ${answer.statusCode}` });
      if (++open === count) say({ open });
      answer.on('data', (part: Buffer) => {
        for (let from = part.indexOf(newline); from >= 0; from = part.indexOf(newline, from + 1)) events++;
      });
    });
    call.on('error', (error) => say({ error: error.message }));
    call.end();
  }
  parentPort?.on('message', () => say({ events }));
}

if (parentPort) watchAll(Orders.parse(workerData));
