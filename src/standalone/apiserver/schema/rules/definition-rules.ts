import type { CustomResourceDefinition } from 'kubernetes-types/apiextensions/v1.js';
import type { FieldError } from '../../kind.ts';
import { fieldError } from '../field-error.ts';
import { oneOf } from './container-rules.ts';
import { dnsLabel, dnsSubdomain, nameErrors } from './names.ts';
import { immutable } from './workload-rules.ts';

type Spec = CustomResourceDefinition['spec'];

function versionErrors(versions: Spec['versions']): FieldError[] {
  if (versions.length === 0) return [fieldError.required('spec.versions')];
  const names = new Set<string>();
  const errors = versions.flatMap(({ name }, i) => {
    const field = `spec.versions[${i}].name`;
    const own = nameErrors(field, name, dnsLabel);
    if (names.has(name)) own.push(fieldError.duplicate(field, name));
    names.add(name);
    return own;
  });
  if (versions.filter(({ storage }) => storage).length !== 1)
    errors.push(
      fieldError.invalid(
        'spec.versions',
        [...names],
        'must have exactly one version marked as storage version',
      ),
    );
  return errors;
}

function nameTableErrors({ group, names }: Spec): FieldError[] {
  const errors = group ? nameErrors('spec.group', group, dnsSubdomain) : [fieldError.required('spec.group')];
  for (const field of ['plural', 'singular'] as const)
    if (names[field]) errors.push(...nameErrors(`spec.names.${field}`, names[field], dnsLabel));
  for (const [i, name] of (names.shortNames ?? []).entries())
    errors.push(...nameErrors(`spec.names.shortNames[${i}]`, name, dnsLabel));
  for (const field of ['kind', 'listKind'] as const)
    if (names[field]) errors.push(...nameErrors(`spec.names.${field}`, names[field].toLowerCase(), dnsLabel));
  if (names.kind && names.kind === names.listKind)
    errors.push(
      fieldError.invalid('spec.names.listKind', names.listKind, 'kind and listKind may not be the same'),
    );
  return errors;
}

function definition(
  { metadata, spec }: CustomResourceDefinition,
  before: CustomResourceDefinition | undefined,
): FieldError[] {
  const errors = [
    ...nameTableErrors(spec),
    ...versionErrors(spec.versions),
    ...oneOf('spec.scope', spec.scope, ['Cluster', 'Namespaced']),
  ];
  if (metadata?.name !== `${spec.names.plural}.${spec.group}`)
    errors.push(
      fieldError.invalid('metadata.name', metadata?.name, 'must be spec.names.plural+"."+spec.group'),
    );
  if (!before) return errors;
  // Objects are stored by these.
  return [
    ...errors,
    ...immutable('spec.group', spec.group, before.spec.group),
    ...immutable('spec.scope', spec.scope, before.spec.scope),
    ...immutable('spec.names.kind', spec.names.kind, before.spec.names.kind),
    ...immutable('spec.names.plural', spec.names.plural, before.spec.names.plural),
  ];
}

export const definitionRules = { CustomResourceDefinition: definition };
