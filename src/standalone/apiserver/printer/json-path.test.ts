import { expect, test } from 'vitest';
import { jsonPath } from './json-path.ts';

const object = {
  metadata: { name: 'a', annotations: { 'x.io/y': 'dotted', 'has]bracket': 'b' } },
  spec: { mon: { count: 3 }, hosts: ['h1', 'h2', 'h3'] },
  status: {
    conditions: [
      { type: 'Progressing', status: 'False', weight: 2 },
      { type: 'Ready', status: 'True', weight: 1 },
    ],
  },
};

test.each([
  ['.spec.mon.count', [3]],
  ['{.spec.mon.count}', [3]],
  ['$.spec.mon.count', [3]],
  ['.spec.hosts[0]', ['h1']],
  ['.spec.hosts[-1]', ['h3']],
  ['.spec.hosts[1:]', ['h2', 'h3']],
  ['.spec.hosts[*]', ['h1', 'h2', 'h3']],
  ['.spec.hosts[7]', []],
  ['.spec.hosts', [['h1', 'h2', 'h3']]],
  ['.status.conditions[?(@.type=="Ready")].status', ['True']],
  [".status.conditions[?(@.type == 'Progressing')].status", ['False']],
  ['.status.conditions[?(@.type=="None")].status', []],
  ['.status.conditions[?(@.weight>1)].type', ['Progressing']],
  ['.status.conditions[?(@.weight)].type', ['Progressing', 'Ready']],
  ['.status.conditions[0].status', ['False']],
  ['.metadata.annotations.x\\.io/y', ['dotted']],
  [".metadata.annotations['x.io/y']", ['dotted']],
  [".metadata.annotations['has]bracket']", ['b']],
  ['.status.none.deeper', []],
  ['.metadata.name.deeper', []],
  ['.constructor', []],
] as [string, unknown[]][])('%s', (path, found) => {
  expect(jsonPath(path)?.(object)).toEqual(found);
});

test.each(['.a[', '.a[?(b)]', '.a[x]', '.a..b', '.a[?(@.b'])('%s is no path', (path) => {
  expect(jsonPath(path)).toBeUndefined();
});
