import type { PolicyRule } from 'kubernetes-types/rbac/v1.js';

/** What one request needs a rule for. */
export type Need =
  | {
      readonly verb: string;
      readonly group: string;
      /** With its subresource: `pods/log`. */
      readonly resource: string;
      readonly name: string;
      readonly namespace: string | undefined;
    }
  | { readonly verb: string; readonly path: string };

const has = (list: readonly string[] | undefined, value: string): boolean =>
  list !== undefined && (list.includes('*') || list.includes(value));

function resourceMatches(rule: PolicyRule, resource: string): boolean {
  if (has(rule.resources, resource)) return true;
  const slash = resource.indexOf('/');
  return slash > 0 && rule.resources?.includes(`*${resource.slice(slash)}`) === true;
}

const pathMatches = (pattern: string, path: string): boolean =>
  pattern === '*' || pattern === path || (pattern.endsWith('*') && path.startsWith(pattern.slice(0, -1)));

/** Whether one rule allows what is needed. */
export function ruleAllows(rule: PolicyRule, need: Need): boolean {
  if (!has(rule.verbs, need.verb)) return false;
  if ('path' in need)
    return rule.nonResourceURLs?.some((pattern) => pathMatches(pattern, need.path)) === true;
  return (
    has(rule.apiGroups, need.group) &&
    resourceMatches(rule, need.resource) &&
    (!rule.resourceNames?.length || rule.resourceNames.includes(need.name))
  );
}

/** Takes a rule apart until each piece names one thing, so that pieces can be held by different rules. */
function pieces(rule: PolicyRule): PolicyRule[] {
  const verbs = rule.verbs;
  if (rule.nonResourceURLs?.length)
    return rule.nonResourceURLs.flatMap((url) =>
      verbs.map((verb) => ({ verbs: [verb], nonResourceURLs: [url] })),
    );
  const names = rule.resourceNames?.length ? rule.resourceNames.map((name) => [name]) : [undefined];
  return (rule.apiGroups ?? []).flatMap((group) =>
    (rule.resources ?? []).flatMap((resource) =>
      verbs.flatMap((verb) =>
        names.map((resourceNames) => ({
          apiGroups: [group],
          resources: [resource],
          verbs: [verb],
          ...(resourceNames ? { resourceNames } : {}),
        })),
      ),
    ),
  );
}

function covers(holder: PolicyRule, piece: PolicyRule): boolean {
  const [verb = ''] = piece.verbs;
  if (!has(holder.verbs, verb)) return false;
  const [url] = piece.nonResourceURLs ?? [];
  if (url !== undefined) return holder.nonResourceURLs?.some((pattern) => pathMatches(pattern, url)) === true;
  const [group = ''] = piece.apiGroups ?? [];
  const [resource = ''] = piece.resources ?? [];
  if (!has(holder.apiGroups, group) || !resourceMatches(holder, resource)) return false;
  if (!holder.resourceNames?.length) return true;
  const [name] = piece.resourceNames ?? [];
  return name !== undefined && holder.resourceNames.includes(name);
}

/** The parts of `wanted` that `held` does not allow: giving them away would be an escalation. */
export function uncovered(held: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  return wanted.flatMap(pieces).filter((piece) => !held.some((rule) => covers(rule, piece)));
}

/** A rule in Kubernetes' own notation: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`. */
export function ruleText(rule: PolicyRule): string {
  const list = (values: readonly string[]) => `[${values.map((value) => JSON.stringify(value)).join(' ')}]`;
  const parts = [
    rule.nonResourceURLs?.length ? `NonResourceURLs:${list(rule.nonResourceURLs)}` : '',
    rule.apiGroups?.length ? `APIGroups:${list(rule.apiGroups)}` : '',
    rule.resources?.length ? `Resources:${list(rule.resources)}` : '',
    rule.resourceNames?.length ? `ResourceNames:${list(rule.resourceNames)}` : '',
    `Verbs:${list(rule.verbs)}`,
  ];
  return `{${parts.filter((part) => part !== '').join(', ')}}`;
}
