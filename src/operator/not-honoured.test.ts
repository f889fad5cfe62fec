import { expect, test } from 'vitest';
import { fieldsNotHonoured, nameFields } from './not-honoured.ts';

test('names each field that is not acted on, unknown ones too, and not what is off or empty', () => {
  const spec = {
    mon: { count: 3, zones: [{ name: 'a' }] },
    storage: { nodes: [{ name: 'n1', config: { metadataDevice: 'sdx' } }], useAllNodes: false },
    dashboard: { enabled: false, ssl: true },
    cephConfig: { global: { a: 'b' } },
    fromTheFuture: { nested: 1 },
    empty: {},
    crashCollector: { disable: true },
  };
  const honoured = ['mon.count', 'storage.nodes[].name', 'storage.useAllNodes', 'cephConfig.**'];
  expect(fieldsNotHonoured(spec, honoured, { 'crashCollector.disable': [true] })).toEqual([
    'dashboard.ssl',
    'fromTheFuture.nested',
    'mon.zones',
    'storage.nodes[].config.metadataDevice',
  ]);
});

test('a long list is cut', () => {
  expect(nameFields(['a', 'b', 'c'], 2)).toBe('spec.a, spec.b and 1 more');
});
