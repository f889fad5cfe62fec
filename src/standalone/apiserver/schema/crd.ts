import type { FieldError, JsonObject, KindInfo, PrinterColumn, StructuralSchema } from '../kind.ts';
import { fieldError } from './field-error.ts';
import { objectMetaSchema } from './builtin-schemas.ts';

interface CrdVersion {
  readonly name: string;
  readonly served: boolean;
  readonly schema?: { readonly openAPIV3Schema?: StructuralSchema };
  readonly subresources?: {
    readonly status?: JsonObject;
    readonly scale?: NonNullable<KindInfo['subresources']['scale']>;
  };
  readonly additionalPrinterColumns?: readonly (Omit<PrinterColumn, 'priority'> & {
    readonly priority?: number;
  })[];
  readonly selectableFields?: readonly { readonly jsonPath: string }[];
}

interface CrdSpec {
  readonly group: string;
  readonly scope: string;
  readonly names: {
    readonly kind: string;
    readonly plural: string;
    readonly singular?: string;
    readonly listKind?: string;
    readonly shortNames?: readonly string[];
    readonly categories?: readonly string[];
  };
  readonly versions: readonly CrdVersion[];
}

const verbs = ['delete', 'deletecollection', 'get', 'list', 'patch', 'create', 'update', 'watch'];
const ageColumn: PrinterColumn = {
  name: 'Age',
  type: 'date',
  description: '',
  priority: 0,
  jsonPath: '.metadata.creationTimestamp',
};

/** The kinds that a CustomResourceDefinition's served versions are, and what keeps one from being served. */
export function kindsOfCrd(crd: unknown): { kinds: KindInfo[]; errors: FieldError[] } {
  const spec = (crd as { spec: CrdSpec }).spec;
  const errors: FieldError[] = [];
  spec.versions.forEach((version, i) => {
    const field = `spec.versions[${i}].schema.openAPIV3Schema`;
    const schema = version.schema?.openAPIV3Schema;
    if (!schema) errors.push(fieldError.required(field, 'schemas are required'));
    else if (schema.type !== 'object')
      errors.push(fieldError.required(`${field}.type`, 'must be object at the root'));
    else structuralErrors(schema, field, errors, 0);
  });
  return { kinds: spec.versions.filter((v) => v.served).map((v) => kindOf(spec, v)), errors };
}

function kindOf(spec: CrdSpec, version: CrdVersion): KindInfo {
  const { names } = spec;
  const schema = version.schema?.openAPIV3Schema ?? { type: 'object' as const };
  const columns = version.additionalPrinterColumns?.map((column) => ({
    ...column,
    priority: column.priority ?? 0,
  }));
  const scale = version.subresources?.scale;
  return {
    group: spec.group,
    version: version.name,
    kind: names.kind,
    listKind: names.listKind ?? `${names.kind}List`,
    plural: names.plural,
    singular: names.singular ?? names.kind.toLowerCase(),
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    namespaced: spec.scope === 'Namespaced',
    subresources: { status: version.subresources?.status !== undefined, ...(scale && { scale }) },
    schema: {
      ...schema,
      properties: {
        ...schema.properties,
        apiVersion: { type: 'string' },
        kind: { type: 'string' },
        metadata: objectMetaSchema(),
      },
    },
    columns: columns && columns.length > 0 ? columns : [ageColumn],
    builtin: false,
    verbs,
    selectableFields: (version.selectableFields ?? []).map((field) => field.jsonPath.replace(/^\./, '')),
    hasGeneration: true,
  };
}

const maxDepth = 64;

/** The rules of a structural schema: a type everywhere, unless something else says what may be there. */
function structuralErrors(
  schema: StructuralSchema,
  field: string,
  errors: FieldError[],
  depth: number,
): void {
  if (depth > maxDepth) return;
  const typed =
    schema.type || schema['x-kubernetes-int-or-string'] || schema['x-kubernetes-preserve-unknown-fields'];
  if (!typed)
    errors.push(fieldError.required(`${field}.type`, 'must not be empty for specified object fields'));
  for (const [name, child] of Object.entries(schema.properties ?? {}))
    structuralErrors(child, `${field}.properties[${name}]`, errors, depth + 1);
  if (schema.items) structuralErrors(schema.items, `${field}.items`, errors, depth + 1);
  else if (schema.type === 'array') errors.push(fieldError.required(`${field}.items`, 'must be specified'));
  if (typeof schema.additionalProperties === 'object')
    structuralErrors(schema.additionalProperties, `${field}.additionalProperties`, errors, depth + 1);
}
