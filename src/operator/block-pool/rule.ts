import type { CephBlockPoolSpec } from '../../api/ceph/ceph-block-pool.ts';
import { createRule, readDeviceClasses, readRule, type RuleSpec } from '../../ceph/crush.ts';
import { readOsdTree, type CrushNode } from '../../ceph/osd.ts';
import type { Ceph } from '../../ceph/seam.ts';

export const ruleSpecOf = (spec: CephBlockPoolSpec): RuleSpec => ({
  root: spec.crushRoot || 'default',
  failureDomain: spec.failureDomain || 'host',
  ...(spec.deviceClass && { deviceClass: spec.deviceClass }),
});

/** A rule of the pool’s own: named by what it does, so that a changed spec gets another, and pools stay apart. */
export const ruleNameOf = (pool: string, rule: RuleSpec): string =>
  [
    pool,
    rule.failureDomain,
    ...(rule.deviceClass ? [rule.deviceClass] : []),
    ...(rule.root === 'default' ? [] : [rule.root]),
  ].join('_');

/** The rule’s name; made where it is not there, or undefined where no OSD has the device class yet. */
export async function ensureRule(
  ceph: Ceph,
  pool: string,
  spec: RuleSpec,
  signal: AbortSignal,
): Promise<string | undefined> {
  const name = ruleNameOf(pool, spec);
  if (await readRule(ceph, name, signal)) return name;
  if (spec.deviceClass && !(await readDeviceClasses(ceph, signal)).includes(spec.deviceClass))
    return undefined;
  return (await createRule(ceph, name, spec, signal)).name;
}

/** How many failure domains with an OSD that is up there are for a rule. */
export async function failureDomains(ceph: Ceph, spec: RuleSpec, signal: AbortSignal): Promise<number> {
  const tree = await readOsdTree(ceph, signal);
  const byId = new Map(tree.map((node) => [node.id, node]));
  const root = tree.find((node) => node.name === spec.root && node.type === 'root');
  return root ? countDomains(root, byId, spec) : 0;
}

function countDomains(node: CrushNode, byId: ReadonlyMap<number, CrushNode>, spec: RuleSpec): number {
  if (node.type === spec.failureDomain) return holdsUpOsd(node, byId, spec) ? 1 : 0;
  return children(node, byId).reduce((sum, child) => sum + countDomains(child, byId, spec), 0);
}

function holdsUpOsd(node: CrushNode, byId: ReadonlyMap<number, CrushNode>, spec: RuleSpec): boolean {
  if (node.type === 'osd')
    return node.status === 'up' && (spec.deviceClass === undefined || node.deviceClass === spec.deviceClass);
  return children(node, byId).some((child) => holdsUpOsd(child, byId, spec));
}

const children = (node: CrushNode, byId: ReadonlyMap<number, CrushNode>): CrushNode[] =>
  node.children.flatMap((id) => byId.get(id) ?? []);
