import { describe, expect, test } from 'vitest';
import { negotiate } from './negotiate.ts';
import { warningHeader } from './respond.ts';
import { resourceRoute, targetOf, verbOf } from './route.ts';

const query = (text = '') => new URLSearchParams(text);

test.each([
  '/',
  '',
  '/api/v1/namespaces/ns/pods/p',
  '/api/v1/namespaces/ns/pods/?watch=1&fieldSelector=metadata.name%3Da+b',
  '/api/v1/pods?',
  '/api/v1/pods?a=1?b=2#end',
  '/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode',
  '/apis/x/v1/things/system:a@b!$&()*+,;=~',
  '/api/v1/nodes/n/proxy/a/../b/./c',
  '/api/v1/nodes/n/proxy/%2e%2e/b',
  '/api/v1/nodes/n/proxy/.%2E/b',
  '/api/v1/nodes/n/proxy/.hidden',
  '/api//v1/pods',
  '/api/v1/pods/ä b"<>|^`{}',
  '/api\\v1/pods',
  '*',
])('the target %s is read as a URL', (target) => {
  const url = new URL(target, 'http://api');
  const { path, query } = targetOf(target);
  expect(path).toBe(url.pathname);
  expect([...query]).toEqual([...url.searchParams]);
});

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
