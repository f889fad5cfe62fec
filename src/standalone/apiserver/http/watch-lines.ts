import { textOnce } from './respond.ts';

type ChangeType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** What many watches read at once is the latest few changes; what came before is encoded again for a late one. */
const keptOfEach = 128;

const kept: Readonly<Record<ChangeType, Map<object, Buffer>>> = {
  ADDED: new Map(),
  MODIFIED: new Map(),
  DELETED: new Map(),
};

/** A change as watches send it: a line of JSON, whose bytes are made once for all who watch. */
export function lineOf(type: ChangeType, object: object): Buffer {
  const lines = kept[type];
  const known = lines.get(object);
  if (known) return known;
  const line = Buffer.from(`{"type":"${type}","object":${textOnce(object)}}\n`);
  lines.set(object, line);
  // A Map gives its keys in the order in which they came.
  const [oldest] = lines.keys();
  if (lines.size > keptOfEach && oldest) lines.delete(oldest);
  return line;
}
