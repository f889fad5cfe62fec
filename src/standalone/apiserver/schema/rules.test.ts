import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import type { Json, StructuralSchema } from '../kind.ts';
import { evaluate, EvaluationError } from './cel/evaluate.ts';
import { parseExpression } from './cel/parse.ts';
import { kindsOfCrd } from './crd.ts';
import { ruleErrors } from './rules.ts';

test.each([
  ["self.a == 'x' && self.n > 1", true],
  ['1 + 2 * 3 == 7 && 7 / 2 == 3 && 7 % 2 == 1 && -1 < 0', true],
  ['has(self.a) && !has(self.b)', true],
  ["has(self.b) ? self.b == 'x' : true", true],
  ["self.a in ['x', 'y']", true],
  ["!(self.a in ['x'])", false],
  ["'k' in self.map && self.map['k'] == 'v'", true],
  ['size(self.list) == 2 && self.list.size() == 2 && size(self.a) == 1', true],
  ['self.list.all(i, i > 0) && self.list.exists(i, i == 2) && self.list.exists_one(i, i > 1)', true],
  ['self.list.map(i, i * 2) == [2, 4] && self.list.filter(i, i > 1) == [2]', true],
  ["self.map.all(k, k.matches('^[a-z]+$'))", true],
  ["'abc'.startsWith('a') && 'abc'.endsWith('c') && 'abc'.contains('b')", true],
  ['"it\\"s" == \'it"s\' && r"a\\b" == "a\\\\b"', true],
  ['true || self.b.c', true],
  ['self.b.c || true', true],
  ['false && self.b.c', false],
  ["string(1) + 'a' == '1a' && int('3') == 3", true],
])('%s is %s', (source, wanted) => {
  const self: Json = { a: 'x', n: 2, list: [1, 2], map: { k: 'v' } };
  expect(evaluate(parseExpression(source), { self })).toBe(wanted);
});

test.each(['self.b', 'self.list[9]', 'nobody', '1 / 0 == 1', "1 < 'a'", 'true && 1', "'a'.matches('(')"])(
  '%s cannot be worked out',
  (source) => {
    const self: Json = { list: [] };
    expect(() => evaluate(parseExpression(source), { self })).toThrow(EvaluationError);
  },
);

test.each(['', 'self.', '1 +', '(1', '[1', 'a b', "'open", '{}', '@', '('.repeat(500)])(
  '%s is no rule',
  (source) => {
    expect(() => parseExpression(source)).toThrow(SyntaxError);
  },
);

test('a rule that would run long is stopped', () => {
  const list = Array.from({ length: 1000 }, (_, i) => i);
  const long = parseExpression('self.all(a, self.all(b, self.all(c, true)))');
  expect(() => evaluate(long, { self: list })).toThrow('too many steps');
});

test('rules are told with their paths; those that look back need something to look back at', () => {
  const schema: StructuralSchema = {
    type: 'object',
    properties: {
      folder: {
        type: 'string',
        'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: 'folder is immutable' }],
      },
      list: {
        type: 'array',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
        items: {
          type: 'object',
          properties: { name: { type: 'string' }, size: { type: 'integer' } },
          'x-kubernetes-validations': [{ rule: 'self.size >= oldSelf.size' }, { rule: 'self.size < 9' }],
        },
      },
    },
  };
  const old = { folder: '/a', list: [{ name: 'x', size: 3 }] };
  expect(ruleErrors(schema, old, undefined)).toEqual([]);
  const next = {
    folder: '/b',
    list: [{ name: 'new', size: 1 }, { name: 'x', size: 2 }, { name: 'y' }],
  };
  expect(ruleErrors(schema, next, old).map(({ field, message }) => `${field}: ${message}`)).toEqual([
    'folder: Invalid value: "/b": folder is immutable',
    'list[1]: Invalid value: "object": failed rule: self.size >= oldSelf.size',
    'list[2]: Invalid value: "object": no such key: size evaluating rule: self.size < 9',
  ]);
});

test('the rules of the shipped definitions are all understood, and hold a cluster to its folder', () => {
  for (const name of ['cephclusters', 'cephblockpools']) {
    const path = new URL(`../../../../deploy/crds/${name}.ceph.rook.io.yaml`, import.meta.url);
    const rules = rulesIn(parse(readFileSync(path, 'utf8')));
    expect(rules.length).toBeGreaterThan(0);
    for (const rule of rules) expect(() => parseExpression(rule)).not.toThrow();
  }
  const path = new URL('../../../../deploy/crds/cephclusters.ceph.rook.io.yaml', import.meta.url);
  const { kinds, errors } = kindsOfCrd(parse(readFileSync(path, 'utf8')));
  expect(errors).toEqual([]);
  const schema = kinds[0]?.schema as StructuralSchema;
  const cluster = (dataDirHostPath: string) => ({ spec: { dataDirHostPath, mon: { count: 3 } } });
  expect(ruleErrors(schema, cluster('/var/lib/rook'), cluster('/var/lib/rook'))).toEqual([]);
  expect(ruleErrors(schema, cluster('/other'), cluster('/var/lib/rook'))).toMatchObject([
    { field: 'spec.dataDirHostPath', reason: 'FieldValueInvalid' },
  ]);
});

/** All rules in a definition, wherever they are. */
function rulesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const own = (value as { rule?: unknown }).rule;
  return [...(typeof own === 'string' ? [own] : []), ...Object.values(value).flatMap(rulesIn)];
}
