import {
  fail,
  integer,
  list,
  optional,
  osdNumber,
  text,
  type FakeCall,
  type FakeHandlers,
} from './command.ts';
import { addBucket, type FakeBucket, type FakeOsd, type FakeRule, type FakeState } from './state.ts';

const typeIds: Readonly<Record<string, number>> = {
  osd: 0,
  host: 1,
  chassis: 2,
  rack: 3,
  row: 4,
  pdu: 5,
  pod: 6,
  room: 7,
  datacenter: 8,
  zone: 9,
  region: 10,
  root: 11,
};

const deviceClasses = (state: FakeState) =>
  [...new Set([...state.osds.values()].flatMap((osd) => osd.deviceClass ?? []))].sort();

function createRule(call: FakeCall) {
  const name = text(call, 'name');
  if (call.state.rules.has(name)) return;
  const root = text(call, 'root');
  const type = text(call, 'type');
  const deviceClass = optional(call, 'class');
  if (!call.state.buckets.has(root)) fail(call, 'ENOENT', `root item ${root} does not exist`);
  if (!(type in typeIds)) fail(call, 'EINVAL', `unknown type ${type}`);
  if (deviceClass !== undefined && !deviceClasses(call.state).includes(deviceClass))
    fail(call, 'EINVAL', `device class ${deviceClass} does not exist`);
  call.state.rules.set(name, { id: call.state.nextRuleId++, root, failureDomain: type, deviceClass });
}

function dumpRule(state: FakeState, name: string, rule: FakeRule) {
  const rootId = state.buckets.get(rule.root)?.id ?? -1;
  const byClass = rule.deviceClass !== undefined;
  return {
    rule_id: rule.id,
    rule_name: name,
    ruleset: rule.id,
    type: 1,
    min_size: 1,
    max_size: 10,
    steps: [
      {
        op: 'take',
        item: byClass ? rootId - 1 : rootId,
        item_name: byClass ? `${rule.root}~${rule.deviceClass}` : rule.root,
      },
      {
        op: rule.failureDomain === 'osd' ? 'choose_firstn' : 'chooseleaf_firstn',
        num: 0,
        type: rule.failureDomain,
      },
      { op: 'emit' },
    ],
  };
}

/** How a tree of CRUSH names an OSD. */
export const osdLeaf = (osd: FakeOsd) => ({
  id: osd.id,
  ...(osd.deviceClass === undefined ? {} : { device_class: osd.deviceClass }),
  name: `osd.${osd.id}`,
  type: 'osd',
  type_id: 0,
  crush_weight: osd.crushWeight,
});

const osdNode = (osd: FakeOsd, depth: number, live: boolean) => ({
  ...osdLeaf(osd),
  depth,
  ...(depth > 0 ? { pool_weights: {} } : {}),
  ...(live
    ? { exists: 1, status: osd.up ? 'up' : 'down', reweight: osd.in ? osd.weight : 0, primary_affinity: 1 }
    : {}),
});

/** The tree top-down from each root, as `osd tree` walks it; OSDs outside CRUSH are strays. */
export function crushTree(state: FakeState, live: boolean) {
  const nodes: unknown[] = [];
  const childrenOf = (name: string) => ({
    buckets: [...state.buckets].filter(([, bucket]) => bucket.parent === name),
    osds: [...state.osds.values()].filter((osd) => osd.host === name),
  });
  const visit = (name: string, bucket: FakeBucket, depth: number) => {
    const { buckets, osds } = childrenOf(name);
    nodes.push({
      id: bucket.id,
      name,
      type: bucket.type,
      type_id: typeIds[bucket.type] ?? 0,
      ...(depth > 0 ? { pool_weights: {} } : {}),
      children: [...buckets.map(([, child]) => child.id), ...osds.map((osd) => osd.id)].reverse(),
    });
    for (const [childName, child] of buckets) visit(childName, child, depth + 1);
    for (const osd of osds) nodes.push(osdNode(osd, depth + 1, live));
  };
  for (const [name, bucket] of state.buckets) if (bucket.parent === undefined) visit(name, bucket, 0);
  return {
    nodes,
    stray: [...state.osds.values()]
      .filter((osd) => osd.host === undefined)
      .map((osd) => osdNode(osd, 0, live)),
  };
}

/** `host=h1`, `root=default` -> buckets, made where absent; answers the host's name. */
function place(call: FakeCall, at: readonly string[]): string {
  const location = new Map(at.map((part) => part.split('=') as [string, string]));
  const chain = [...location].sort(([a], [b]) => (typeIds[b] ?? 0) - (typeIds[a] ?? 0));
  let parent: string | undefined;
  for (const [type, name] of chain) {
    if (!(type in typeIds)) fail(call, 'EINVAL', `unknown type ${type}`);
    addBucket(call.state, name, type, parent);
    parent = name;
  }
  return parent ?? 'default';
}

function osdAt(call: FakeCall, id: number): FakeOsd {
  return (
    call.state.osds.get(id) ??
    fail(call, 'ENOENT', `osd.${id} does not exist.  create it before updating the crush map`)
  );
}

function setClass(call: FakeCall) {
  const wanted = text(call, 'class');
  for (const id of list(call, 'ids')) {
    const osd = call.state.osds.get(osdNumber(id));
    if (!osd) return fail(call, 'ENOENT', `osd.${id} does not exist`);
    if (osd.deviceClass !== undefined && osd.deviceClass !== wanted)
      fail(
        call,
        'EBUSY',
        `osd.${osd.id} has already bound to class '${osd.deviceClass}', can not reset class to '${wanted}'; use 'ceph osd crush rm-device-class <id>' to remove old class first`,
      );
    osd.deviceClass = wanted;
  }
}

export const crushCommands: FakeHandlers = {
  'osd crush rule create-replicated': createRule,
  'osd crush rule ls': ({ state }) => [...state.rules.keys()],
  'osd crush rule dump': (call) => {
    const name = optional(call, 'name');
    const all = [...call.state.rules].map(([ruleName, rule]) => dumpRule(call.state, ruleName, rule));
    if (name === undefined) return all;
    return (
      all.find((rule) => rule.rule_name === name) ?? fail(call, 'ENOENT', `unknown crush rule '${name}'`)
    );
  },
  'osd crush rule rm': (call) => {
    const name = text(call, 'name');
    const rule = call.state.rules.get(name);
    if (!rule) return;
    if ([...call.state.pools.values()].some((pool) => pool.rule === name))
      fail(call, 'EBUSY', `crush ruleset ${name} ${rule.id} is in use`);
    call.state.rules.delete(name);
  },
  'osd crush tree': ({ state }) => crushTree(state, false),
  'osd crush class ls': ({ state }) => deviceClasses(state),
  'osd crush set-device-class': setClass,
  'osd crush rm-device-class': (call) => {
    for (const id of list(call, 'ids')) {
      const osd = call.state.osds.get(osdNumber(id));
      if (osd) osd.deviceClass = undefined;
    }
  },
  'osd crush get-device-class': (call) =>
    list(call, 'ids').map((id) => ({
      osd: osdNumber(id),
      device_class: call.state.osds.get(osdNumber(id))?.deviceClass ?? '',
    })),
  'osd crush create-or-move': (call) => {
    const osd = osdAt(call, integer(call, 'id'));
    osd.host = place(call, list(call, 'args'));
    if (osd.crushWeight === 0) osd.crushWeight = Number(call.command['weight'] ?? 0);
  },
  'osd crush set': (call) => {
    const osd = osdAt(call, integer(call, 'id'));
    osd.host = place(call, list(call, 'args'));
    osd.crushWeight = Number(call.command['weight'] ?? 0);
  },
  'osd crush add-bucket': (call) => {
    const name = text(call, 'name');
    const type = text(call, 'type');
    if (!(type in typeIds)) fail(call, 'EINVAL', `type '${type}' does not exist`);
    const at = list(call, 'args');
    addBucket(call.state, name, type, at.length > 0 ? place(call, at) : undefined);
  },
  'osd crush move': (call) => {
    const bucket = call.state.buckets.get(text(call, 'name'));
    if (!bucket) return fail(call, 'ENOENT', `item ${text(call, 'name')} does not exist`);
    bucket.parent = place(call, list(call, 'args'));
  },
  'osd crush rm': (call) => {
    const name = text(call, 'name');
    const children = [...call.state.osds.values()].some((osd) => osd.host === name);
    if (children || [...call.state.buckets.values()].some((bucket) => bucket.parent === name))
      fail(call, 'ENOTEMPTY', '(39) Directory not empty');
    call.state.buckets.delete(name);
    const osd = call.state.osds.get(osdNumber(name));
    if (osd && name.startsWith('osd.')) osd.host = undefined;
  },
  'osd crush reweight': (call) => {
    const osd = call.state.osds.get(osdNumber(text(call, 'name')));
    if (!osd) return fail(call, 'ENOENT', `device '${text(call, 'name')}' does not appear in the crush map`);
    osd.crushWeight = Number(call.command['weight']);
  },
};
