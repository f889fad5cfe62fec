import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ApiObject } from '../kind.ts';
import { parseFieldSelector } from './field-selector.ts';
import { parseLabelSelector } from './label-selector.ts';

const labels = { app: 'web', tier: 'front', 'x.io/size': '12', empty: '' };

describe('labels', () => {
  test.each([
    ['', true],
    ['app=web', true],
    ['app==web', true],
    [' app = web , tier = front ', true],
    ['app=db', false],
    ['app!=db', true],
    ['none!=db', true],
    ['app', true],
    ['!app', false],
    ['!none', true],
    ['! none,app', true],
    ['app in (db,web)', true],
    ['app in (db, cache)', false],
    ['app notin (db)', true],
    ['none notin (db)', true],
    ['none in (db)', false],
    ['empty=', true],
    ['empty=,app=web', true],
    ['empty in ()', true],
    ['empty in (,)', true],
    ['app in (web,)', true],
    ['x.io/size>11', true],
    ['x.io/size>12', false],
    ['x.io/size<13', true],
    ['app>1', false],
    ['none<1', false],
    ['in in (in)', false],
    ['constructor', false],
    ['toString!=x', true],
  ])('%s: %s', (text, matches) => {
    expect(parseLabelSelector(text).matches(labels)).toBe(matches);
  });

  test('a key that is an operator is a key where a key belongs', () => {
    expect(parseLabelSelector('in in (in),notin').matches({ in: 'in', notin: '' })).toBe(true);
  });

  test.each([
    ['a=b,', "found '', expected: identifier after ','"],
    [',a', "found ',', expected: !, identifier, or 'end of string'"],
    ['a=b c', "found 'c', expected: ',' or 'end of string'"],
    ['a b', "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"],
    ['a in b', "unable to parse requirement: found 'b' expected: '('"],
    ['a in (b', "unable to parse requirement: found '', expected: ',' or ')'"],
    ['a in (b c)', "unable to parse requirement: found 'c', expected: ',' or ')'"],
    ['a in (=)', "unable to parse requirement: found '=', expected: ',', ')' or identifier"],
    ['!', "unable to parse requirement: found '', expected: identifier"],
    ['a=(', "unable to parse requirement: found '(', expected: identifier"],
    ['!a=b', "found '=', expected: ',' or 'end of string'"],
  ])('%s: %s', (text, message) => {
    expect(() => parseLabelSelector(text)).toThrow(new Error(message));
  });

  test.each([
    ['a@b', /^unable to parse requirement: <nil>: Invalid value: "a@b": name part must consist of/],
    ['/a', /prefix part must be non-empty/],
    ['a/b/c', /a qualified name must consist of/],
    ['A.B/c', /prefix part a lowercase RFC 1123 subdomain/],
    [`${'x'.repeat(64)}=1`, /name part must be no more than 63 characters/],
    ['a=b@', /^unable to parse requirement: values\[0\]\[a\]: Invalid value: "b@": a valid label must be/],
    ['a in (b,-c)', /values\[1\]\[a\]: Invalid value: "-c"/],
    ['a>b', /for 'Gt', 'Lt' operators, the value must be an integer/],
  ])('%s: %s', (text, message) => {
    expect(() => parseLabelSelector(text)).toThrow(message);
  });

  test('any text is either refused with an Error or answers', () => {
    const parts = fc.constantFrom('a', 'b', ' ', '=', '!', '(', ')', ',', '<', '>', 'in', 'notin', '\t', '@');
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 12 }), (pieces) => {
        try {
          expect(typeof parseLabelSelector(pieces.join('')).matches({ a: 'b' })).toBe('boolean');
        } catch (error) {
          expect((error as Error).message).toMatch(/expected:|Invalid value:/);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('fields', () => {
  const pod = {
    metadata: { name: 'p', namespace: 'n' },
    spec: { nodeName: 'one' },
    status: { phase: 'Running', succeeded: 2 },
    reportingComponent: 'kubelet',
  } as unknown as ApiObject;
  const allowed = [
    'spec.nodeName',
    'status.phase',
    'spec.hostNetwork',
    'status.successful',
    'source',
    'type',
  ];

  test.each([
    ['', true],
    ['metadata.name=p', true],
    ['metadata.name==p,metadata.namespace=n', true],
    ['metadata.name!=p', false],
    ['spec.nodeName=one,status.phase!=Failed', true],
    ['spec.hostNetwork=false', true],
    ['spec.hostNetwork=true', false],
    ['status.successful=2', true],
    ['source=kubelet', true],
    ['type=', true],
    ['type!=', false],
    ['type=a\\,b', false],
    [',,metadata.name=p,', true],
  ])('%s: %s', (text, matches) => {
    expect(parseFieldSelector(text, allowed).matches(pod)).toBe(matches);
  });

  test('escaped characters are taken as they are', () => {
    const object = { type: 'a,b=c\\d' } as unknown as ApiObject;
    expect(parseFieldSelector('type=a\\,b\\=c\\\\d', allowed).matches(object)).toBe(true);
  });

  test.each([
    ['nonsense', "invalid selector: 'nonsense'; can't understand 'nonsense'"],
    ['type=a=b', 'invalid field selector: unescaped character in value: ='],
    ['type=a\\b', 'invalid field selector: invalid escape sequence: \\b'],
    ['spec.x=1', 'field label not supported: spec.x'],
  ])('%s: %s', (text, message) => {
    expect(() => parseFieldSelector(text, allowed)).toThrow(new Error(message));
  });

  test('a kind without fields of its own says which there are', () => {
    expect(() => parseFieldSelector('spec.x=1', [])).toThrow(
      '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
    );
  });
});
