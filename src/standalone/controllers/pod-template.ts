import { createHash } from 'node:crypto';
import type { Pod, PodTemplateSpec } from 'kubernetes-types/core/v1.js';
import type { KubeObject, Stored } from '../../api/resource.ts';
import { controllerReference } from '../../kube/owner-reference.ts';

/** A pod as its controller's template says, owned by it. */
export function podFromTemplate(
  template: PodTemplateSpec | undefined,
  owner: Stored<KubeObject>,
  extra: { readonly labels?: Readonly<Record<string, string>>; readonly name?: string } = {},
): Pod {
  // Room for the five characters that the server appends, in a name that is a DNS label.
  const generateName = `${owner.metadata.name.slice(0, 57)}-`;
  return {
    metadata: {
      ...(extra.name === undefined ? { generateName } : { name: extra.name }),
      ...(owner.metadata.namespace === undefined ? {} : { namespace: owner.metadata.namespace }),
      labels: { ...template?.metadata?.labels, ...extra.labels },
      annotations: { ...template?.metadata?.annotations },
      ...(template?.metadata?.finalizers ? { finalizers: [...template.metadata.finalizers] } : {}),
      ownerReferences: [controllerReference(owner)],
    },
    spec: structuredClone(template?.spec ?? { containers: [] }),
  };
}

/** JSON with sorted keys, so that equal values have equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

// Without vowels and look-alikes, as Kubernetes has it, so that no hash spells a word.
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';

/** A label value that stands for the template's content; `collisions` gives another one. */
export function templateHash(template: unknown, collisions = 0): string {
  const digest = createHash('sha256')
    .update(`${collisions} ${meaningOf(template)}`)
    .digest();
  return [...digest.subarray(0, 10)].map((byte) => alphabet[byte % alphabet.length]).join('');
}

/** The template without a label that its controller added. */
export function withoutLabel(template: PodTemplateSpec | undefined, label: string): PodTemplateSpec {
  const { [label]: _own, ...labels } = template?.metadata?.labels ?? {};
  // The server may drop the zero time that some clients send; it says nothing.
  const { creationTimestamp: _time, ...metadata } = template?.metadata ?? {};
  return { ...template, metadata: { ...metadata, labels } };
}

export const sameTemplate = (
  a: PodTemplateSpec | undefined,
  b: PodTemplateSpec | undefined,
  label: string,
): boolean => meaningOf(withoutLabel(a, label)) === meaningOf(withoutLabel(b, label));

/**
 * A text that is the same for templates that mean the same: clients written in Go send `resources: {}` and
 * `creationTimestamp: null` where others send nothing, and a rollback by kubectl is such a round trip.
 */
export const meaningOf = (value: unknown): string => canonicalJson(withoutEmpty(value));

function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmpty);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value)
    .map(([key, inner]) => [key, withoutEmpty(inner)] as const)
    .filter(([, inner]) => !isEmpty(inner));
  return Object.fromEntries(entries);
}

const isEmpty = (value: unknown): boolean =>
  value === null ||
  value === undefined ||
  value === '' ||
  (typeof value === 'object' && Object.keys(value).length === 0);

/** `3` or `25%` of a total; percentages round up or down as the field wants it. */
export function scaledValue(
  value: number | string | undefined,
  total: number,
  round: 'up' | 'down',
  fallback: number | string,
): number {
  const given = value ?? fallback;
  if (typeof given === 'number') return given;
  const percent = /^(\d+)%$/.exec(given)?.[1];
  if (percent === undefined) return Number.parseInt(given, 10) || 0;
  const exact = (Number(percent) * total) / 100;
  return round === 'up' ? Math.ceil(exact) : Math.floor(exact);
}
