import { expect, test } from 'vitest';
import { z } from 'zod';
import { decodeAnswer } from './answer.ts';
import { isCephError } from './errors.ts';

test('one document, several in a row, plain text and nothing', () => {
  expect(decodeAnswer('fsid', '\n{"fsid":"x"}\n', z.object({ fsid: z.string() }))).toEqual({ fsid: 'x' });
  expect(
    decodeAnswer('ls', '\n[{"addr":"a]\\"["}][]', z.tuple([z.array(z.unknown()), z.array(z.unknown())])),
  ).toEqual([[{ addr: 'a]"[' }], []]);
  expect(decodeAnswer('config get', '1/5\n', z.string())).toBe('1/5');
  expect(decodeAnswer('config-key get', '1', z.string())).toBe('1');
  expect(decodeAnswer('osd pool create', '', z.null())).toBeNull();
  expect(decodeAnswer('osd pool create', '', z.string())).toBe('');
});

test('another shape is EBADMSG, and the message holds no value of the answer', () => {
  const read = () => decodeAnswer('auth get', '[{"key":"c2VjcmV0"}]', z.array(z.object({ key: z.number() })));
  expect(read).toThrow(/0\.key: invalid_type/);
  try {
    read();
  } catch (error) {
    expect(isCephError(error, 'EBADMSG')).toBe(true);
    expect(String(error)).not.toContain('c2VjcmV0');
  }
});
