import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { JsonObject, KindInfo } from '../kind.ts';
import { toTable } from '../printer/table.ts';
import { apiVersionOf } from '../registry/kind-table.ts';
import type { WatchFrame } from '../registry/watch.ts';
import type { Accepted } from './negotiate.ts';
import { partialMetadata, type TableOptions } from './present.ts';
import { lineOf } from './watch-lines.ts';

const endAnnotation = { 'k8s.io/initial-events-end': 'true' };

function bookmarkObject(
  kind: KindInfo,
  accepted: Accepted,
  frame: WatchFrame & { type: 'BOOKMARK' },
): JsonObject {
  const metadata: JsonObject = {
    resourceVersion: frame.resourceVersion,
    ...(frame.initialEventsEnd ? { annotations: endAnnotation } : {}),
  };
  if (accepted.as === 'table')
    return { kind: 'Table', apiVersion: 'meta.k8s.io/v1', metadata, columnDefinitions: null, rows: [] };
  if (accepted.as === 'metadata')
    return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
  return { kind: kind.kind, apiVersion: apiVersionOf(kind), metadata };
}

/** Turns frames into lines of JSON. Table headers come with the first row only. */
function encoder(kind: KindInfo, accepted: Accepted, table: TableOptions): (frame: WatchFrame) => Buffer {
  let headers = true;
  const own = (type: WatchFrame['type'], object: object) =>
    Buffer.from(`{"type":"${type}","object":${JSON.stringify(object)}}\n`);
  return (frame) => {
    const { type } = frame;
    if (type === 'ERROR') return own(type, frame.status);
    if (type === 'BOOKMARK') return own(type, bookmarkObject(kind, accepted, frame));
    if (accepted.as === 'metadata') return lineOf(type, partialMetadata(frame.object));
    if (accepted.as === 'object') return lineOf(type, frame.object);
    const row = toTable(kind, [frame.object], {
      includeObject: table.includeObject,
      listMeta: { resourceVersion: frame.object.metadata?.resourceVersion ?? '' },
      nowMs: table.nowMs(),
      headers,
    });
    headers = false;
    return own(type, row);
  };
}

/**
 * Writes the frames to the client as they come, no faster than it takes them: a slow one waits in its
 * socket's buffer, and its watch falls behind until the cache cuts it off.
 */
export async function streamWatch(
  res: ServerResponse,
  kind: KindInfo,
  accepted: Accepted,
  table: TableOptions,
  frames: AsyncIterable<readonly WatchFrame[]>,
  signal: AbortSignal,
): Promise<void> {
  const encode = encoder(kind, accepted, table);
  const iterator = frames[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await iterator.next();
      if (!res.headersSent) {
        res.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-cache, private' });
        // The client's watch begins with the headers, also where nothing happens for long.
        res.flushHeaders();
      }
      if (done || signal.aborted) break;
      const [first, ...more] = value.map(encode);
      if (!first) continue;
      if (!res.write(more.length === 0 ? first : Buffer.concat([first, ...more])))
        await once(res, 'drain', { signal });
    }
    res.end();
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    await iterator.return?.(undefined);
  }
}
