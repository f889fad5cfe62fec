import { expect, test } from 'vitest';
import { lostByReplacing } from './crd-superset.ts';

const definition = (version: string, properties: object) => ({
  spec: { versions: [{ name: version, schema: { openAPIV3Schema: { type: 'object', properties } } }] },
});
const spec = (...names: string[]) => ({
  spec: { type: 'object', properties: Object.fromEntries(names.map((name) => [name, { type: 'string' }])) },
});

test('a definition with every field of the installed one may replace it', () => {
  expect(lostByReplacing(definition('v1', spec('a')), definition('v1', spec('a', 'b')))).toEqual([]);
});

test('fields and versions that would be lost are named', () => {
  expect(lostByReplacing(definition('v1', spec('a', 'newer')), definition('v1', spec('a')))).toEqual([
    'v1.spec.newer',
  ]);
  expect(lostByReplacing(definition('v2', spec('a')), definition('v1', spec('a')))).toEqual(['v2']);
});
