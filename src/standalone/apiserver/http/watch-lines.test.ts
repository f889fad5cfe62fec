import { expect, test } from 'vitest';
import { jsonReply } from './respond.ts';
import { lineOf } from './watch-lines.ts';

test('the bytes of a change are the same for all who watch, and those of another type are others', () => {
  const object = { metadata: { name: 'a', annotations: { text: 'ü' } } };
  const line = lineOf('ADDED', object);
  expect(lineOf('ADDED', object)).toBe(line);
  expect(JSON.parse(line.toString())).toEqual({ type: 'ADDED', object });
  expect(line.at(-1)).toBe('\n'.charCodeAt(0));
  expect(JSON.parse(lineOf('DELETED', object).toString())).toEqual({ type: 'DELETED', object });
});

test('the bytes of old changes are not kept, but are made again', () => {
  const object = { metadata: { name: 'old' } };
  const line = lineOf('MODIFIED', object);
  for (let i = 0; i < 200; i++) lineOf('MODIFIED', { metadata: { name: `new-${i}` } });
  const again = lineOf('MODIFIED', object);
  expect(again).not.toBe(line);
  expect(again.equals(line)).toBe(true);
});

test('what was just answered is not turned into text once more for those who watch', () => {
  let made = 0;
  const object = { toJSON: () => ({ made: ++made }) };
  expect(jsonReply(200, object).text).toBe('{"made":1}');
  expect(jsonReply(200, object).text).toBe('{"made":1}');
  expect(lineOf('ADDED', object).toString()).toBe('{"type":"ADDED","object":{"made":1}}\n');
  // But not for ever.
  for (let i = 0; i < 100; i++) jsonReply(200, { i });
  expect(jsonReply(200, object).text).toBe('{"made":2}');
});
