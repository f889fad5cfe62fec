import type { FieldError, KindInfo } from '../../kind.ts';
interface V {
  name: string;
  served: boolean;
  storage: boolean;
  subresources?: { status?: object };
}
export function kindsOfCrd(crd: unknown): { kinds: KindInfo[]; errors: FieldError[] } {
  const spec = (
    crd as {
      spec: {
        group: string;
        scope: string;
        names: { kind: string; plural: string; singular?: string; listKind?: string; shortNames?: string[] };
        versions: V[];
      };
    }
  ).spec;
  return {
    errors: [],
    kinds: spec.versions
      .filter((v) => v.served)
      .map((v) => ({
        group: spec.group,
        version: v.name,
        kind: spec.names.kind,
        listKind: spec.names.listKind ?? `${spec.names.kind}List`,
        plural: spec.names.plural,
        singular: spec.names.singular ?? spec.names.kind.toLowerCase(),
        shortNames: spec.names.shortNames ?? [],
        categories: [],
        namespaced: spec.scope === 'Namespaced',
        subresources: { status: v.subresources?.status !== undefined },
        schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        columns: [],
        builtin: false,
        verbs: ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'],
        selectableFields: [],
        hasGeneration: true,
      })),
  };
}
