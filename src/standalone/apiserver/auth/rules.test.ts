import { describe, expect, test } from 'vitest';
import { ruleAllows, ruleText, uncovered } from './rules.ts';

const need = (verb: string, resource: string, name = '', group = '') => ({
  verb,
  group,
  resource,
  name,
  namespace: 'n',
});
const rule = (verbs: string[], resources: string[], more: object = {}) => ({
  apiGroups: [''],
  verbs,
  resources,
  ...more,
});

describe('a rule allows', () => {
  test.each([
    ['its verb on its resource', rule(['get'], ['pods']), need('get', 'pods', 'x'), true],
    ['no other verb', rule(['get'], ['pods']), need('list', 'pods'), false],
    ['no other group', rule(['get'], ['pods']), need('get', 'pods', 'x', 'apps'), false],
    ['no subresource of its resource', rule(['get'], ['pods']), need('get', 'pods/log', 'x'), false],
    ['a subresource by name', rule(['get'], ['pods/log']), need('get', 'pods/log', 'x'), true],
    ['a subresource of all kinds', rule(['get'], ['*/scale']), need('get', 'deployments/scale', 'x'), true],
    [
      'all with stars',
      { apiGroups: ['*'], verbs: ['*'], resources: ['*'] },
      need('patch', 'a/b', 'x', 'g'),
      true,
    ],
    ['only its names', rule(['get'], ['pods'], { resourceNames: ['a'] }), need('get', 'pods', 'b'), false],
    ['its names', rule(['get'], ['pods'], { resourceNames: ['a'] }), need('get', 'pods', 'a'), true],
    ['no list by a name', rule(['list'], ['pods'], { resourceNames: ['a'] }), need('list', 'pods'), false],
    [
      'paths below a star',
      { verbs: ['get'], nonResourceURLs: ['/apis/*'] },
      { verb: 'get', path: '/apis/x' },
      true,
    ],
    [
      'no path besides',
      { verbs: ['get'], nonResourceURLs: ['/apis/*'] },
      { verb: 'get', path: '/api' },
      false,
    ],
  ])('%s', (_what, given, wanted, allowed) => {
    expect(ruleAllows(given, wanted)).toBe(allowed);
  });
});

describe('giving rules away', () => {
  const held = [rule(['get', 'list'], ['pods']), rule(['get'], ['secrets'], { resourceNames: ['a'] })];
  test('is fine for what is held, also in other pieces', () => {
    expect(uncovered(held, [rule(['get'], ['pods']), rule(['list'], ['pods'])])).toEqual([]);
    expect(uncovered(held, [rule(['get'], ['pods'], { resourceNames: ['z'] })])).toEqual([]);
  });
  test('names exactly what is not held', () => {
    expect(uncovered(held, [rule(['get', 'delete'], ['pods'])]).map(ruleText)).toEqual([
      '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}',
    ]);
    expect(uncovered(held, [rule(['get'], ['secrets'])])).toHaveLength(1);
    expect(uncovered(held, [rule(['*'], ['pods'])])).toHaveLength(1);
    expect(uncovered(held, [{ verbs: ['get'], nonResourceURLs: ['/metrics'] }])).toHaveLength(1);
  });
});
