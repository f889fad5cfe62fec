import { fail, flag, stamp, text, type FakeCall, type FakeHandlers } from './command.ts';
import { domainCount, healthChecks, overallHealth, pgStates } from './health.ts';
import type { FakeMon, FakeState } from './state.ts';

const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0);

export function osdTotals(state: FakeState) {
  const osds = [...state.osds.values()].filter((osd) => osd.up);
  const total = sum(osds.map((osd) => osd.sizeBytes));
  const used = sum(osds.map((osd) => osd.usedBytes));
  return { total, used, available: total - used };
}

function health(call: FakeCall, detail: boolean) {
  const { state } = call;
  const checks = Object.fromEntries(
    [...healthChecks(state)].map(([code, check]) => [
      code,
      {
        severity: check.severity,
        summary: { message: check.message, count: check.count ?? 1 },
        ...(detail ? { detail: (check.detail ?? []).map((message) => ({ message })) } : {}),
        muted: state.mutes.has(code),
      },
    ]),
  );
  return {
    status: overallHealth(state),
    checks,
    mutes: [...state.mutes].map((code) => ({ code, sticky: false, summary: '', count: 1 })),
  };
}

const quorumNames = (state: FakeState) =>
  [...state.mons].filter(([, mon]) => mon.inQuorum).map(([name]) => name);
const ranks = (state: FakeState) =>
  [...state.mons.values()].flatMap((mon, rank) => (mon.inQuorum ? [rank] : []));

function osdSummary(state: FakeState) {
  const osds = [...state.osds.values()];
  return {
    epoch: state.epoch,
    num_osds: osds.length,
    num_up_osds: osds.filter((osd) => osd.up).length,
    osd_up_since: 0,
    num_in_osds: osds.filter((osd) => osd.in).length,
    osd_in_since: 0,
    num_remapped_pgs: 0,
  };
}

function status(call: FakeCall) {
  const { state } = call;
  const { total, used, available } = osdTotals(state);
  const states = pgStates(state);
  const standbys = [...state.mgrs.values()].filter((mgr) => !mgr.active).length;
  return {
    fsid: state.fsid,
    health: health(call, false),
    election_epoch: 3,
    quorum: ranks(state),
    quorum_names: quorumNames(state),
    quorum_age: 60,
    monmap: { epoch: state.mons.size, min_mon_release_name: state.release, num_mons: state.mons.size },
    osdmap: osdSummary(state),
    pgmap: {
      pgs_by_state: [...states].map(([state_name, count]) => ({ state_name, count })),
      num_pgs: sum(states.values()),
      num_pools: state.pools.size,
      num_objects: 0,
      data_bytes: 0,
      bytes_used: used,
      bytes_avail: available,
      bytes_total: total,
    },
    fsmap: { epoch: 1, by_rank: [], 'up:standby': 0 },
    mgrmap: {
      available: [...state.mgrs.values()].some((mgr) => mgr.active),
      num_standbys: standbys,
      modules: [...state.modules].sort(),
      services: {},
    },
    servicemap: { epoch: 1, modified: stamp(call.nowMs), services: {} },
    progress_events: {},
  };
}

const monEntry = (name: string, mon: FakeMon, rank: number) => ({
  rank,
  name,
  public_addrs: {
    addrvec: [
      { type: 'v2', addr: mon.v2, nonce: 0 },
      { type: 'v1', addr: mon.v1, nonce: 0 },
    ],
  },
  addr: `${mon.v1}/0`,
  public_addr: `${mon.v1}/0`,
  priority: 0,
  weight: 0,
  crush_location: '{}',
});

function monMap({ state, nowMs }: FakeCall) {
  return {
    epoch: state.mons.size,
    fsid: state.fsid,
    modified: stamp(nowMs),
    created: stamp(nowMs),
    min_mon_release: 16,
    min_mon_release_name: state.release,
    election_strategy: 1,
    stretch_mode: false,
    tiebreaker_mon: '',
    features: { persistent: [], optional: [] },
    mons: [...state.mons].map(([name, mon], rank) => monEntry(name, mon, rank)),
  };
}

function versions({ state }: FakeCall) {
  const count = (texts: readonly string[]) => {
    const counts: Record<string, number> = {};
    for (const version of texts) counts[version] = (counts[version] ?? 0) + 1;
    return counts;
  };
  const mon = quorumNames(state).map(() => state.versionText);
  const mgr = [...state.mgrs.values()].map(() => state.versionText);
  const osd = [...state.osds.values()].filter((entry) => entry.up).map((entry) => entry.versionText);
  return {
    mon: count(mon),
    mgr: count(mgr),
    osd: count(osd),
    mds: {},
    overall: count([...mon, ...mgr, ...osd]),
  };
}

function df({ state }: FakeCall) {
  const { total, used, available } = osdTotals(state);
  const stats = {
    total_bytes: total,
    total_avail_bytes: available,
    total_used_bytes: used,
    total_used_raw_bytes: used,
    total_used_raw_ratio: total === 0 ? 0 : used / total,
  };
  return {
    stats: {
      ...stats,
      num_osds: state.osds.size,
      num_per_pool_osds: state.osds.size,
      num_per_pool_omap_osds: state.osds.size,
    },
    stats_by_class: Object.fromEntries(
      [...new Set([...state.osds.values()].flatMap((osd) => osd.deviceClass ?? []))].map((name) => [
        name,
        stats,
      ]),
    ),
    pools: [...state.pools.values()].map((pool) => ({
      name: pool.name,
      id: pool.id,
      stats: {
        stored: pool.storedBytes,
        objects: 0,
        kb_used: Math.ceil((pool.storedBytes * pool.size) / 1024),
        bytes_used: pool.storedBytes * pool.size,
        percent_used: total === 0 ? 0 : (pool.storedBytes * pool.size) / total,
        max_avail: domainCount(state, pool) === 0 ? 0 : Math.floor((available * 0.95) / pool.size),
      },
    })),
  };
}

const knownModules = new Set([
  'alerts',
  'cephadm',
  'dashboard',
  'iostat',
  'mirroring',
  'nfs',
  'prometheus',
  'restful',
  'rook',
  'snap_schedule',
  'stats',
]);

export const statusCommands: FakeHandlers = {
  status,
  fsid: ({ state }) => ({ fsid: state.fsid }),
  health: (call) => health(call, text(call, 'detail') === 'detail'),
  'health mute': (call) => void call.state.mutes.add(text(call, 'code')),
  'health unmute': (call) => void call.state.mutes.delete(text(call, 'code')),
  quorum_status: (call) => ({
    election_epoch: 3,
    quorum: ranks(call.state),
    quorum_names: quorumNames(call.state),
    quorum_leader_name: quorumNames(call.state)[0] ?? '',
    quorum_age: 60,
    features: { quorum_con: '4540138314316775423', quorum_mon: [] },
    monmap: monMap(call),
  }),
  'mon dump': (call) => ({ ...monMap(call), quorum: ranks(call.state) }),
  'mon metadata': ({ state }) =>
    [...state.mons].map(([name, mon]) => ({
      name,
      addrs: `[v2:${mon.v2}/0,v1:${mon.v1}/0]`,
      ceph_release: state.release,
      ceph_version: state.versionText,
      ceph_version_short: '16.2.15',
      hostname: name,
    })),
  'mon rm': (call) => {
    call.state.mons.delete(text(call, 'name'));
  },
  'mon ok-to-stop': (call) => {
    const ids = new Set(Array.isArray(call.command['ids']) ? call.command['ids'] : []);
    const left = quorumNames(call.state).filter((name) => !ids.has(name));
    if (left.length > call.state.mons.size / 2) return undefined;
    return fail(
      call,
      'EBUSY',
      `not enough monitors would be available (${left.join(',')}) after stopping mons [${[...ids].join(',')}]`,
    );
  },
  'time-sync-status': () => ({ timechecks: { epoch: 3, round: 0, round_status: 'finished' } }),
  'mgr stat': ({ state }) => {
    const active = [...state.mgrs].find(([, mgr]) => mgr.active);
    return {
      epoch: 4,
      available: active !== undefined,
      active_name: active?.[0] ?? '',
      num_standby: [...state.mgrs.values()].filter((mgr) => !mgr.active).length,
    };
  },
  'mgr dump': ({ state }) => {
    const active = [...state.mgrs].find(([, mgr]) => mgr.active);
    return {
      epoch: 4,
      active_gid: 4098,
      active_name: active?.[0] ?? '',
      available: active !== undefined,
      standbys: [...state.mgrs].filter(([, mgr]) => !mgr.active).map(([name]) => ({ gid: 4099, name })),
      modules: [...state.modules].sort(),
      available_modules: [],
      services: {},
    };
  },
  'mgr fail': (call) => {
    const mgr = call.state.mgrs.get(text(call, 'who'));
    if (!mgr?.active) return;
    mgr.active = false;
    const next = [...call.state.mgrs.values()].find((other) => other !== mgr);
    if (next) next.active = true;
  },
  'mgr module ls': ({ state }) => ({
    always_on_modules: ['balancer', 'crash', 'devicehealth', 'orchestrator', 'pg_autoscaler', 'progress'],
    enabled_modules: [...state.modules].sort(),
    disabled_modules: [],
  }),
  'mgr module enable': (call) => {
    const module = text(call, 'module');
    if (!knownModules.has(module))
      fail(
        call,
        'ENOENT',
        `all mgr daemons do not support module '${module}', pass --force to force enablement`,
      );
    call.state.modules.add(module);
  },
  'mgr module disable': (call) => void call.state.modules.delete(text(call, 'module')),
  versions,
  df,
  'osd stat': ({ state }) => osdSummary(state),
  log: () => undefined,
};

/** Only the mgr has these numbers; a mon asked for them asks the mgr. */
export const pgCommands: FakeHandlers = {
  'pg stat': ({ state }) => {
    const states = pgStates(state);
    const { total, used, available } = osdTotals(state);
    return {
      pg_ready: true,
      pg_summary: {
        num_pg_by_state: [...states].map(([name, num]) => ({ name, num })),
        num_pgs: sum(states.values()),
        num_bytes: 0,
        total_bytes: total,
        total_avail_bytes: available,
        total_used_bytes: used,
        total_used_raw_bytes: used,
      },
    };
  },
  'osd pool stats': ({ state }) =>
    [...state.pools.values()].map((pool) => ({
      pool_name: pool.name,
      pool_id: pool.id,
      recovery: {},
      recovery_rate: {},
      client_io_rate: {},
    })),
  'balancer status': (call) => ({ active: true, mode: 'upmap', plans: [], detail: flag(call, 'detail') }),
};
