import { describe, expect, test } from 'vitest';
import { negotiate } from './negotiate.ts';
import { warningHeader } from './respond.ts';
import { resourceRoute, verbOf } from './route.ts';

const query = (text = '') => new URLSearchParams(text);

describe('a path', () => {
  test.each([
    [
      '/api/v1/pods',
      { group: '', version: 'v1', plural: 'pods', namespace: undefined, name: undefined, subresource: '' },
    ],
    ['/api/v1/namespaces/ns/pods/p/log', { namespace: 'ns', plural: 'pods', name: 'p', subresource: 'log' }],
    ['/api/v1/namespaces/ns', { namespace: undefined, plural: 'namespaces', name: 'ns', subresource: '' }],
    ['/api/v1/namespaces/ns/status', { plural: 'namespaces', name: 'ns', subresource: 'status' }],
    ['/api/v1/namespaces/ns/finalize', { plural: 'namespaces', name: 'ns', subresource: 'finalize' }],
    ['/api/v1/namespaces/ns/pods/', { namespace: 'ns', plural: 'pods', name: undefined }],
    ['/apis/apps/v1/deployments', { group: 'apps', plural: 'deployments' }],
    ['/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode', { name: 'system:node' }],
    ['/api/v1/nodes/n/proxy/a/b', { name: 'n', subresource: 'proxy', rest: 'a/b' }],
  ])('%s names its objects', (path, route) => {
    expect(resourceRoute(path)).toMatchObject(route);
  });

  test.each([
    '/',
    '/api',
    '/api/v1',
    '/apis',
    '/apis/apps',
    '/apis/apps/v1',
    '/healthz',
    '/api/v1//pods',
    '/api/v1/%zz',
    '/apis//v1/x',
  ])('%s names none', (path) => {
    expect(resourceRoute(path)).toBeUndefined();
  });
});

test.each([
  ['GET', '/api/v1/pods', '', 'list'],
  ['GET', '/api/v1/pods', 'watch=true', 'watch'],
  ['GET', '/api/v1/pods', 'watch=false', 'list'],
  ['GET', '/api/v1/namespaces/n/pods/p', '', 'get'],
  ['GET', '/api/v1/namespaces/n/pods/p', 'watch=1', 'watch'],
  ['DELETE', '/api/v1/namespaces/n/pods', '', 'deletecollection'],
  ['DELETE', '/api/v1/namespaces/n/pods/p', '', 'delete'],
  ['POST', '/api/v1/namespaces/n/pods/p/exec', '', 'create'],
  ['PATCH', '/api/v1/namespaces/n/pods/p', '', 'patch'],
])('%s %s?%s is %s', (method, path, search, verb) => {
  expect(verbOf(method, resourceRoute(path) as never, query(search))).toBe(verb);
});

describe('Accept', () => {
  const table = 'application/json;as=Table;v=v1;g=meta.k8s.io';
  test.each([
    [undefined, 'object'],
    ['*/*', 'object'],
    [`${table},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json`, 'table'],
    ['application/vnd.kubernetes.protobuf,application/json', 'object'],
    ['application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json', 'metadata'],
    ['application/json;as=Something;g=meta.k8s.io;v=v1,application/json', 'object'],
    [`application/json;q=0.5,${table}`, 'table'],
  ])('%s asks for %s', (header, as) => {
    expect(negotiate(header, true).as).toBe(as);
  });

  test('what cannot be served is 406', () => {
    expect(() => negotiate('application/vnd.kubernetes.protobuf', true)).toThrow(
      'only the following media types',
    );
    expect(() => negotiate(table, false)).toThrow('only the following media types');
  });
});

test('a warning is one line of plain characters, whatever is in it', () => {
  expect(warningHeader('unknown field "a\r\nX: y"')).toBe('299 - "unknown field \\"a  X: y\\""');
});
