import type { LabelSelector } from 'kubernetes-types/meta/v1.js';

type Labels = Readonly<Record<string, string>>;

/** Whether a LabelSelector takes these labels. An empty one takes all; an absent one takes none. */
export function selectorMatches(selector: LabelSelector | undefined, labels: Labels = {}): boolean {
  if (!selector) return false;
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    if (labels[key] !== value) return false;
  }
  return (selector.matchExpressions ?? []).every((one) =>
    requirementMatches(one.key, one.operator, one.values, labels),
  );
}

/** Whether the labels hold each pair of a plain selector, as Services and nodeSelector have it. */
export const labelsContain = (wanted: Labels | undefined, labels: Labels = {}): boolean =>
  Object.entries(wanted ?? {}).every(([key, value]) => labels[key] === value);

/**
 * One requirement. NotIn and DoesNotExist take objects without the key; Gt and Lt compare whole
 * numbers and are for nodes only. An unknown operator takes nothing.
 */
export function requirementMatches(
  key: string,
  operator: string,
  values: readonly string[] = [],
  labels: Labels = {},
): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return isWhole(value) && isWhole(values[0]) && Number(value) > Number(values[0]);
    case 'Lt':
      return isWhole(value) && isWhole(values[0]) && Number(value) < Number(values[0]);
    default:
      return false;
  }
}

const isWhole = (text: string | undefined): text is string => text !== undefined && /^-?\d+$/.test(text);
