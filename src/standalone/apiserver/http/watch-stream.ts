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

/** The lines of a watch, those that are there at once together. Ends with the frames. */
export async function* watchLines(
  kind: KindInfo,
  accepted: Accepted,
  table: TableOptions,
  frames: AsyncIterable<readonly WatchFrame[]>,
): AsyncGenerator<Buffer> {
  const encode = encoder(kind, accepted, table);
  for await (const batch of frames) {
    const [first, ...more] = batch.map(encode);
    if (first) yield more.length === 0 ? first : Buffer.concat([first, ...more]);
  }
}
