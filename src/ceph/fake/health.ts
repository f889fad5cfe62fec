import type { FakeHealthCheck, FakeOsd, FakePool, FakeState } from './state.ts';

/** Up and in OSDs that a pool's rule may use. */
export function osdsOf(state: FakeState, pool: FakePool): FakeOsd[] {
  const rule = state.rules.get(pool.rule);
  return [...state.osds.values()].filter(
    (osd) =>
      osd.up &&
      osd.in &&
      osd.host !== undefined &&
      (rule?.deviceClass === undefined || rule.deviceClass === osd.deviceClass),
  );
}

/** In how many failure domains a pool can put copies now. */
export function domainCount(state: FakeState, pool: FakePool): number {
  const rule = state.rules.get(pool.rule);
  const osds = osdsOf(state, pool);
  if (rule?.failureDomain === 'osd') return osds.length;
  return new Set(osds.map((osd) => ancestor(state, osd.host, rule?.failureDomain ?? 'host'))).size;
}

function ancestor(state: FakeState, start: string | undefined, type: string): string {
  let name = start;
  while (name !== undefined) {
    const bucket = state.buckets.get(name);
    if (!bucket || bucket.type === type) break;
    name = bucket.parent;
  }
  return name ?? 'default';
}

/** Whether writes go through: min_size copies can be placed. */
export const isWritable = (state: FakeState, pool: FakePool): boolean =>
  domainCount(state, pool) >= Math.max(1, pool.minSize);

function pgStateOf(state: FakeState, pool: FakePool): string {
  const copies = Math.min(pool.size, domainCount(state, pool));
  if (copies === 0) return [...state.osds.values()].some((osd) => osd.booted) ? 'stale' : 'unknown';
  if (copies < pool.minSize) return 'undersized+peered';
  return copies < pool.size ? 'active+undersized' : 'active+clean';
}

export function pgStates(state: FakeState): Map<string, number> {
  if (state.pgStates) return state.pgStates;
  const counts = new Map<string, number>();
  for (const pool of state.pools.values()) {
    const name = pgStateOf(state, pool);
    counts.set(name, (counts.get(name) ?? 0) + pool.pgNum);
  }
  return counts;
}

const warn = (message: string, count = 1): FakeHealthCheck => ({ severity: 'HEALTH_WARN', message, count });

/** The checks that follow from the state, in Ceph's words, and those a test put in. */
export function healthChecks(state: FakeState): Map<string, FakeHealthCheck> {
  const checks = new Map<string, FakeHealthCheck>();
  const down = [...state.mons].filter(([, mon]) => !mon.inQuorum);
  const up = [...state.mons].filter(([, mon]) => mon.inQuorum).map(([name]) => name);
  if (down.length > 0)
    checks.set('MON_DOWN', warn(`${down.length}/${state.mons.size} mons down, quorum ${up.join(',')}`));
  if (state.osds.size > 0 && ![...state.mgrs.values()].some((mgr) => mgr.active))
    checks.set('MGR_DOWN', warn('no active mgr'));
  const osdsDown = [...state.osds.values()].filter((osd) => osd.in && !osd.up).length;
  if (osdsDown > 0) checks.set('OSD_DOWN', warn(`${osdsDown} osds down`, osdsDown));
  const set = ['noout', 'noin', 'noup', 'nodown', 'norebalance', 'norecover', 'nobackfill', 'pauserd'].filter(
    (name) => state.flags.has(name),
  );
  if (set.length > 0) checks.set('OSDMAP_FLAGS', warn(`${set.join(',')} flag(s) set`, set.length));
  const wanted = Number(state.config.get('global/osd_pool_default_size') ?? 3);
  if (state.osds.size < wanted)
    checks.set('TOO_FEW_OSDS', warn(`OSD count ${state.osds.size} < osd_pool_default_size ${wanted}`));
  pgChecks(state, checks);
  for (const [code, check] of state.healthChecks) checks.set(code, check);
  return checks;
}

function pgChecks(state: FakeState, checks: Map<string, FakeHealthCheck>): void {
  const count = (test: (name: string) => boolean) =>
    [...pgStates(state)].reduce((total, [name, pgs]) => total + (test(name) ? pgs : 0), 0);
  const inactive = count((name) => !name.includes('active'));
  if (inactive > 0)
    checks.set('PG_AVAILABILITY', warn(`Reduced data availability: ${inactive} pgs inactive`, inactive));
  const undersized = count((name) => name.includes('undersized'));
  if (undersized > 0)
    checks.set('PG_DEGRADED', warn(`Degraded data redundancy: ${undersized} pgs undersized`, undersized));
}

export function overallHealth(state: FakeState): 'HEALTH_OK' | 'HEALTH_WARN' | 'HEALTH_ERR' {
  const counted = [...healthChecks(state)].filter(([code]) => !state.mutes.has(code));
  if (counted.some(([, check]) => check.severity === 'HEALTH_ERR')) return 'HEALTH_ERR';
  return counted.length > 0 ? 'HEALTH_WARN' : 'HEALTH_OK';
}
