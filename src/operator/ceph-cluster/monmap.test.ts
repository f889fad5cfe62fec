import { expect, test } from 'vitest';
import { encodeMonMap } from './monmap.ts';

const fsid = '11111111-2222-4333-8444-555555555555';

// Written by monmaptool 16.2.15 --addv a ... --addv b ... --set-min-mon-release pacific; cut after the
// release, with version and length set to that.
const fromTool = `
   0706190100001111111122224333844455555555555500000000201e016bd84f
   d537201e016bd84fd53701010800000000000000000000000101080000000000
   0000000000000200000001000000610501580000000100000061020200000001
   01011c00000002000000000000001000000002000ce40a630001000000000000
   00000101011c00000001000000000000001000000002001a850a630001000000
   0000000000000000000000000001000000620501580000000100000062020200
   00000101011c00000002000000000000001000000002000ce40a630002000000
   00000000000101011c00000001000000000000001000000002001a850a630002
   00000000000000000000000000000000020000000100000061010000006210`.replace(/\s/g, '');

test('is what monmaptool writes, byte for byte', () => {
  const members = [
    { name: 'a', address: '10.99.0.1' },
    { name: 'b', address: '10.99.0.2' },
  ];
  // The tool knows microseconds, we know milliseconds: compare without the two times.
  const withoutTimes = (hex: string) => hex.slice(0, 52) + hex.slice(84);
  const hex = encodeMonMap(fsid, members, 1795235360936, 16).toString('hex');
  expect(withoutTimes(hex)).toBe(withoutTimes(fromTool));
  expect(hex.slice(52, 60)).toBe(fromTool.slice(52, 60));
});

test('IPv6 addresses are written whole', () => {
  const hex = encodeMonMap(fsid, [{ name: 'a', address: 'fd00::5' }], 0, 16).toString('hex');
  expect(hex).toContain('0a000ce400000000fd000000000000000000000000000005');
});

test('an address that is none is refused', () => {
  expect(() => encodeMonMap(fsid, [{ name: 'a', address: 'mon-a' }], 0, 16)).toThrow('mon-a');
});
