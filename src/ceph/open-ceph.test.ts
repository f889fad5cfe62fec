import { expect, test } from 'vitest';
import { errnoName, cephErrorFromCode } from './errno.ts';
import { commandText } from './open-ceph.ts';
import { plainAddress } from './client-address.ts';
import { parseCephVersion } from './versions.ts';
import { isCephxKey, newCephxKey } from './cephx-key.ts';
import { rbdFeatureBits, rbdFeatureNames } from '../lib/rbd-features.ts';

test('whole numbers go as floats where Ceph wants a float, and only there', () => {
  expect(JSON.parse(commandText({ prefix: 'status' }))).toEqual({ prefix: 'status', format: 'json' });
  expect(commandText({ prefix: 'osd blocklist', expire: 600, range: undefined })).toBe(
    '{"format":"json","prefix":"osd blocklist","expire":600.0}',
  );
  expect(commandText({ prefix: 'osd reweight', id: 1, weight: 0.5 })).toContain('"id":1,"weight":0.5');
  expect(commandText({ prefix: 'x', text: 'a"b', yes: true, list: ['1'] })).toContain(
    '"text":"a\\"b","yes":true,"list":["1"]',
  );
});

test('errors carry Ceph’s symbol and whether to try again', () => {
  expect(cephErrorFromCode(-110, 'status', 'late')).toMatchObject({
    errno: 110,
    errnoName: 'ETIMEDOUT',
    retryable: true,
  });
  expect(cephErrorFromCode(-17, 'create', '')).toMatchObject({
    errnoName: 'EEXIST',
    retryable: false,
    message: 'create: EEXIST',
  });
  expect(errnoName(-4242)).toBe('E4242');
});

test('addresses, versions, keys and features', () => {
  expect(plainAddress('v1:10.1.0.2:0/77')).toBe('10.1.0.2:0/77');
  expect(parseCephVersion('ceph version 18.2.4-10 (e7ad534) reef (stable)')).toEqual({
    major: 18,
    minor: 2,
    patch: 4,
    release: 'reef',
  });
  expect(parseCephVersion('nginx/1.2')).toBeUndefined();
  const key = newCephxKey(Date.UTC(2026, 0, 1), (size) => new Uint8Array(size).fill(7));
  expect(isCephxKey(key)).toBe(true);
  expect(isCephxKey('bm90IGEga2V5')).toBe(false);
  expect(rbdFeatureBits(['layering', 'exclusive-lock'])).toBe(5n);
  expect(rbdFeatureBits(['colour'])).toBeUndefined();
  expect(rbdFeatureNames(0x1005n)).toEqual(['layering', 'exclusive-lock', 'feature-12']);
});
