import type { JsonObject, KindInfo } from '../../kind.ts';
const pathOf = (k: Pick<KindInfo, 'group' | 'version'>) =>
  k.group === '' ? `api/${k.version}` : `apis/${k.group}/${k.version}`;
export function openApiV3Index(kinds: readonly KindInfo[]): JsonObject {
  const paths = Object.fromEntries(
    [...new Set(kinds.map(pathOf))].map((path) => [
      path,
      { serverRelativeURL: `/openapi/v3/${path}?hash=0` },
    ]),
  );
  return { paths };
}
export function openApiV3Document(kinds: readonly KindInfo[], group: string, version: string): JsonObject {
  const found = kinds.filter((k) => k.group === group && k.version === version);
  const gvk = (k: KindInfo) => ({ group: k.group, version: k.version, kind: k.kind });
  const query = (name: string) => ({ name, in: 'query', schema: { type: 'string', uniqueItems: true } });
  const paths = Object.fromEntries(
    found.map((k) => [
      `/${pathOf(k)}/${k.namespaced ? 'namespaces/{namespace}/' : ''}${k.plural}/{name}`,
      {
        patch: {
          'x-kubernetes-action': 'patch',
          'x-kubernetes-group-version-kind': gvk(k),
          parameters: ['dryRun', 'fieldManager', 'fieldValidation', 'force'].map(query),
          requestBody: { content: { 'application/merge-patch+json': { schema: { type: 'object' } } } },
          responses: { '200': { description: 'OK' } },
        },
      },
    ]),
  );
  const schemas = Object.fromEntries(
    found.map((k) => [
      `${k.group.split('.').reverse().join('.')}.${k.version}.${k.kind}`,
      { ...k.schema, type: 'object', 'x-kubernetes-group-version-kind': [gvk(k)] },
    ]),
  );
  return JSON.parse(
    JSON.stringify({
      openapi: '3.0.0',
      info: { title: 'Kubernetes', version: 'v1.32' },
      paths,
      components: { schemas },
    }),
  ) as JsonObject;
}
