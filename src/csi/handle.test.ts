import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeHandle, encodeHandle, isHandleError } from './handle.ts';

const example = '0001-0009-rook-ceph-0000000000000001-c530ba07-fcdd-11ea-a0e2-4efdc282348e';

test('a handle made by ceph-csi reads as its parts, and is made again to the letter', () => {
  const parts = { clusterId: 'rook-ceph', locationId: 1n, uuid: 'c530ba07-fcdd-11ea-a0e2-4efdc282348e' };
  expect(decodeHandle(example)).toEqual(parts);
  expect(encodeHandle(parts)).toBe(example);
});

test('any clusterID, with dashes and beyond ASCII, goes there and back', () => {
  const clusterId = fc.string({ unit: 'grapheme', minLength: 1 }).filter((s) => Buffer.byteLength(s) <= 64);
  fc.assert(
    fc.property(clusterId, fc.bigInt(0n, 2n ** 63n - 1n), fc.uuid(), (cluster, locationId, uuid) => {
      const parts = { clusterId: cluster, locationId, uuid };
      expect(decodeHandle(encodeHandle(parts))).toEqual(parts);
    }),
  );
});

test.each([
  ['', 'too short'],
  ['reallyfakevolumeid', 'too short'],
  [example.slice(0, -1), 'does not fit'],
  [`${example}0`, 'does not fit'],
  [example.replace('0001-0009', '0002-0009'), 'version'],
  [example.replace('0009', '00zz'), 'four hex digits'],
  [example.replace('0009', '0008'), 'does not fit'],
  [example.replace('0000000000000001', '000000000000000G'), '16 hex digits'],
  [example.replace('fcdd', 'fcdg'), 'uuid is malformed'],
  [example.replace('ceph-0000', 'ceph_0000'), 'separators'],
  ['x'.repeat(200), 'longer than 128'],
])('%s is refused: %s', (handle, problem) => {
  expect(() => decodeHandle(handle)).toThrow(problem);
});

test('what cannot be encoded is refused before it reaches anyone', () => {
  const uuid = 'c530ba07-fcdd-11ea-a0e2-4efdc282348e';
  expect(() => encodeHandle({ clusterId: '', locationId: 1n, uuid })).toThrow('empty');
  expect(() => encodeHandle({ clusterId: 'c'.repeat(65), locationId: 1n, uuid })).toThrow('longer than 64');
  expect(() => encodeHandle({ clusterId: 'c', locationId: -1n, uuid })).toThrow('out of range');
  expect(() => encodeHandle({ clusterId: 'c', locationId: 1n, uuid: 'nope' })).toThrow('malformed');
  try {
    decodeHandle('x');
  } catch (error) {
    expect(isHandleError(error)).toBe(true);
  }
});
