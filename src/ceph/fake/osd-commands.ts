import { crushTree, osdLeaf } from './crush-commands.ts';
import {
  fail,
  flag,
  integer,
  list,
  osdNumber,
  stamp,
  text,
  type FakeCall,
  type FakeHandlers,
} from './command.ts';
import { domainCount, isWritable, osdsOf } from './health.ts';
import { poolsOfDump } from './pool-commands.ts';
import { newOsd, type FakeOsd, type FakeState } from './state.ts';

const uuidPattern = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** `osd new`: the same uuid gives the same id again; a key that differs is EEXIST. */
function createOsd(call: FakeCall) {
  const { state } = call;
  const uuid = text(call, 'uuid').toLowerCase();
  if (!uuidPattern.test(uuid)) fail(call, 'EINVAL', `invalid UUID value '${uuid}'.`);
  const wanted = call.command['id'] === undefined ? undefined : integer(call, 'id');
  const secret = secretOf(call);
  const existing = [...state.osds.values()].find((osd) => osd.uuid === uuid);
  if (existing) {
    if (wanted !== undefined && wanted !== existing.id)
      fail(call, 'EEXIST', `uuid ${uuid} already in use for different id ${existing.id}`);
    const auth = state.auth.get(`osd.${existing.id}`);
    if (secret !== undefined && auth && auth.key !== secret)
      fail(call, 'EEXIST', `entity osd.${existing.id} exists but key does not match`);
    return { osdid: existing.id };
  }
  if (wanted !== undefined && state.osds.has(wanted))
    fail(call, 'EEXIST', `id ${wanted} already in use and does not match uuid ${uuid}`);
  let id = wanted ?? 0;
  while (state.osds.has(id)) id++; // A wanted id is free here, so this looks only for the first free one.
  newOsd(state, id, uuid);
  state.epoch++;
  if (secret !== undefined)
    state.auth.set(`osd.${id}`, {
      key: secret,
      caps: new Map([
        ['mgr', 'allow profile osd'],
        ['mon', 'allow profile osd'],
        ['osd', 'allow *'],
      ]),
    });
  return { osdid: id };
}

function secretOf(call: FakeCall): string | undefined {
  if (!call.input) return undefined;
  try {
    return (JSON.parse(call.input) as { cephx_secret?: string }).cephx_secret;
  } catch {
    return fail(call, 'EINVAL', 'invalid JSON input');
  }
}

function dump(call: FakeCall) {
  const { state, nowMs } = call;
  const now = stamp(nowMs);
  const isActive = ([, block]: [string, { untilMs: number }]) => block.untilMs > nowMs;
  const blocks = [...state.blocklist].filter(isActive);
  const asRecord = (range: boolean) =>
    Object.fromEntries(
      blocks
        .filter(([, block]) => block.range === range)
        .map(([addr, block]) => [addr, stamp(block.untilMs)]),
    );
  return {
    epoch: state.epoch,
    fsid: state.fsid,
    created: now,
    modified: now,
    flags: [...state.flags].join(','),
    flags_set: [...state.flags].sort(),
    full_ratio: state.ratios.full,
    backfillfull_ratio: state.ratios.backfillfull,
    nearfull_ratio: state.ratios.nearfull,
    pool_max: state.nextPoolId - 1,
    max_osd: Math.max(0, ...[...state.osds.keys()].map((id) => id + 1)),
    require_min_compat_client: state.minCompatClient,
    min_compat_client: 'jewel',
    require_osd_release: state.release,
    pools: poolsOfDump(call),
    osds: [...state.osds.values()].map(osdEntry),
    pg_temp: [],
    blocklist: asRecord(false),
    range_blocklist: asRecord(true),
    erasure_code_profiles: { default: { k: '2', m: '2', plugin: 'jerasure', technique: 'reed_sol_van' } },
  };
}

const osdEntry = (osd: FakeOsd) => ({
  osd: osd.id,
  uuid: osd.uuid,
  up: osd.up ? 1 : 0,
  in: osd.in ? 1 : 0,
  weight: osd.in ? osd.weight : 0,
  primary_affinity: 1,
  public_addr: osd.up ? `10.244.0.${10 + osd.id}:6801/1` : '(unrecognized address family 0)/0',
  state: ['exists', ...(osd.up ? ['up'] : []), ...(osd.booted ? [] : ['new'])],
});

function df({ state }: FakeCall) {
  const nodes = [...state.osds.values()].map((osd) => ({
    ...osdLeaf(osd),
    depth: 2,
    pool_weights: {},
    reweight: osd.in ? osd.weight : 0,
    kb: osd.booted ? Math.floor(osd.sizeBytes / 1024) : 0,
    kb_used: Math.floor(osd.usedBytes / 1024),
    kb_avail: Math.floor((osd.sizeBytes - osd.usedBytes) / 1024),
    utilization: (osd.usedBytes / osd.sizeBytes) * 100,
    var: 1,
    pgs: pgsOn(state, osd),
    status: osd.up ? 'up' : 'down',
  }));
  const total = nodes.reduce((sum, node) => sum + node.kb, 0);
  const used = nodes.reduce((sum, node) => sum + node.kb_used, 0);
  return {
    nodes,
    stray: [],
    summary: {
      total_kb: total,
      total_kb_used: used,
      total_kb_avail: total - used,
      average_utilization: total === 0 ? 0 : (used / total) * 100,
    },
  };
}

const pgsOn = (state: FakeState, osd: FakeOsd): number =>
  [...state.pools.values()]
    .filter((pool) => osdsOf(state, pool).includes(osd))
    .reduce((total, pool) => total + pool.pgNum, 0);

function idsOf(call: FakeCall): number[] {
  return list(call, 'ids').map((id) => {
    const number = osdNumber(id);
    if (!Number.isInteger(number)) fail(call, 'EINVAL', `unable to parse osd id value '${id}'`);
    return number;
  });
}

function mark(change: (osd: FakeOsd) => void) {
  return (call: FakeCall) => {
    for (const id of idsOf(call)) {
      const osd = call.state.osds.get(id);
      if (osd) change(osd);
    }
    call.state.epoch++;
  };
}

function okToStop(call: FakeCall) {
  const { state } = call;
  const ids = idsOf(call);
  const before = new Map(ids.map((id) => [id, state.osds.get(id)?.up]));
  for (const id of ids) setUp(state, id, false);
  const bad = [...state.pools.values()].filter((pool) => !isWritable(state, pool));
  const degraded = [...state.pools.values()].filter((pool) => domainCount(state, pool) < pool.size);
  for (const [id, up] of before) setUp(state, id, up ?? false);
  const badPgs = bad.reduce((total, pool) => total + pool.pgNum, 0);
  if (badPgs > 0)
    fail(call, 'EBUSY', `unsafe to stop osd(s) at this time (${badPgs} PGs are or would become offline)`);
  return {
    ok_to_stop: true,
    osds: ids,
    num_ok_pgs: degraded.reduce((total, pool) => total + pool.pgNum, 0),
    num_not_ok_pgs: 0,
    ok_become_degraded: degraded.map((pool) => `${pool.id}.0`),
  };
}

function setUp(state: FakeState, id: number, up: boolean): void {
  const osd = state.osds.get(id);
  if (osd) osd.up = up;
}

/**
 * An absent OSD is safe. One that is in and up holds PGs: EBUSY only where none of those asked about is safe
 * and some hold data, as Ceph does; a dead one whose PGs are still degraded has no stats: EAGAIN.
 */
function safeToDestroy(call: FakeCall) {
  const { state } = call;
  const safe: number[] = [];
  const active: number[] = [];
  const missing: number[] = [];
  for (const id of idsOf(call)) {
    const osd = state.osds.get(id);
    if (!osd || !osd.booted) safe.push(id);
    else if (osd.up && osd.in && pgsOn(state, osd) > 0) active.push(id);
    else if (!osd.up && osd.in) missing.push(id);
    else if ([...state.pools.values()].some((pool) => domainCount(state, pool) < pool.size)) missing.push(id);
    else safe.push(id);
  }
  if (missing.length > 0 && safe.length === 0 && active.length === 0)
    fail(
      call,
      'EAGAIN',
      `OSD(s) ${missing.join(',')} have no reported stats, and not all PGs are active+clean; we cannot draw any conclusions.`,
    );
  return { safe_to_destroy: safe, active, missing_stats: missing, stored_pgs: [] };
}

function removeOsd(call: FakeCall) {
  const id = integer(call, 'id');
  const osd = call.state.osds.get(id);
  if (!osd) return;
  if (osd.up) fail(call, 'EBUSY', `osd.${id} is not \`down\`.`);
  if (!flag(call, 'yes_i_really_mean_it') && !flag(call, 'force') && osd.booted && osd.in)
    fail(
      call,
      'EAGAIN',
      `OSD(s) ${id} have no reported stats, and not all PGs are active+clean; we cannot draw any conclusions.`,
    );
  call.state.auth.delete(`osd.${id}`);
  call.state.epoch++;
  if (call.command.prefix === 'osd purge') call.state.osds.delete(id);
}

export const osdCommands: FakeHandlers = {
  'osd new': createOsd,
  'osd dump': dump,
  'osd tree': ({ state }) => crushTree(state, true),
  'osd ls': ({ state }) => [...state.osds.keys()],
  'osd out': mark((osd) => {
    osd.in = false;
  }),
  'osd in': mark((osd) => {
    osd.in = true;
  }),
  'osd down': mark((osd) => {
    osd.up = false;
  }),
  'osd find': (call) => {
    const osd = call.state.osds.get(integer(call, 'id'));
    if (!osd) return fail(call, 'ENOENT', `osd.${integer(call, 'id')} does not exist`);
    return {
      osd: osd.id,
      osd_fsid: osd.uuid,
      host: osd.host ?? '',
      crush_location: osd.host === undefined ? {} : { host: osd.host, root: 'default' },
    };
  },
  'osd metadata': (call) => {
    const entry = (osd: FakeOsd) => ({
      id: osd.id,
      bluestore_bdev_size: String(osd.sizeBytes),
      ceph_release: call.state.release,
      ceph_version: osd.versionText,
      ceph_version_short: /ceph version (\S+)/.exec(osd.versionText)?.[1] ?? '',
      hostname: osd.host ?? '',
      osd_objectstore: 'bluestore',
      rotational: '0',
    });
    if (call.command['id'] === undefined) return [...call.state.osds.values()].map(entry);
    const osd = call.state.osds.get(integer(call, 'id'));
    return osd ? entry(osd) : fail(call, 'ENOENT', `osd.${integer(call, 'id')} does not exist`);
  },
  'osd set': (call) => void call.state.flags.add(text(call, 'key')),
  'osd unset': (call) => void call.state.flags.delete(text(call, 'key')),
  'osd reweight': (call) => {
    const osd = call.state.osds.get(integer(call, 'id'));
    if (!osd) return fail(call, 'ENOENT', `osd.${integer(call, 'id')} does not exist`);
    osd.weight = Number(call.command['weight']);
  },
  'osd primary-affinity': () => undefined,
  'osd require-osd-release': () => undefined,
  'osd get-require-min-compat-client': ({ state }) => `${state.minCompatClient}\n`,
  'osd set-require-min-compat-client': (call) => {
    call.state.minCompatClient = text(call, 'version');
  },
  'osd set-full-ratio': (call) => void (call.state.ratios.full = Number(call.command['ratio'])),
  'osd set-backfillfull-ratio': (call) =>
    void (call.state.ratios.backfillfull = Number(call.command['ratio'])),
  'osd set-nearfull-ratio': (call) => void (call.state.ratios.nearfull = Number(call.command['ratio'])),
};

/** Only the mgr takes these two; a mon asked for them answers EINVAL. */
export const osdMgrOnly: FakeHandlers = {
  'osd purge': removeOsd,
  'osd destroy': removeOsd,
};

export const osdMgrCommands: FakeHandlers = {
  'osd df': df,
  'osd ok-to-stop': okToStop,
  'osd safe-to-destroy': safeToDestroy,
  'osd perf': ({ state }) => ({
    pg_ready: true,
    osdstats: {
      osd_perf_infos: [...state.osds.keys()].map((id) => ({
        id,
        perf_stats: { commit_latency_ms: 1, apply_latency_ms: 1 },
      })),
    },
  }),
};
