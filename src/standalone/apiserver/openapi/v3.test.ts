import { expect, test } from 'vitest';
import { builtinKinds } from '../schema/builtin-kinds.ts';
import { openApiV3Document, openApiV3Index } from './v3.ts';

test('every group version has a document whose references all lead somewhere', () => {
  const kinds = builtinKinds();
  for (const { group, version } of kinds) {
    const document = openApiV3Document(kinds, group, version) as { components: { schemas: object } };
    const refs = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(
      (m) => m[1],
    );
    expect(refs.length).toBeGreaterThan(0);
    expect(refs.filter((ref) => !((ref as string) in document.components.schemas))).toEqual([]);
  }
  expect(Object.keys(openApiV3Index(kinds)['paths'] as object)).toContain('apis/apps/v1');
});

test('kubectl finds a patch with a kind, field validation, and strategic merge for built-in kinds', () => {
  const document = openApiV3Document(builtinKinds(), 'apps', 'v1');
  expect(document).toMatchObject({
    paths: {
      '/apis/apps/v1/namespaces/{namespace}/deployments/{name}': {
        patch: {
          'x-kubernetes-group-version-kind': { group: 'apps', version: 'v1', kind: 'Deployment' },
          requestBody: { content: { 'application/strategic-merge-patch+json': {} } },
        },
      },
    },
  });
  expect(JSON.stringify(document)).toContain('"fieldValidation"');
});
