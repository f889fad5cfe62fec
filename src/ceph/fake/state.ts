/** What the fake cluster knows. Maps and records are open on purpose: a test changes the world by hand. */
export interface FakeState {
  fsid: string;
  release: string;
  versionText: string;
  epoch: number;
  mons: Map<string, FakeMon>;
  mgrs: Map<string, FakeMgr>;
  osds: Map<number, FakeOsd>;
  pools: Map<string, FakePool>;
  rules: Map<string, FakeRule>;
  /** Hosts and other buckets of the CRUSH tree by name; `default` is the root. */
  buckets: Map<string, FakeBucket>;
  auth: Map<string, FakeAuth>;
  /** `section/name` -> value. */
  config: Map<string, string>;
  configKeys: Map<string, string>;
  blocklist: Map<string, FakeBlock>;
  flags: Set<string>;
  /** Checks put in by a test, beside those that follow from the state. */
  healthChecks: Map<string, FakeHealthCheck>;
  mutes: Set<string>;
  modules: Set<string>;
  ratios: { full: number; backfillfull: number; nearfull: number };
  minCompatClient: string;
  /** Answers of `pg stat` and `status` in place of the computed ones: state name -> count. */
  pgStates: Map<string, number> | undefined;
  nextPoolId: number;
  nextRuleId: number;
  nextBucketId: number;
  nextClientId: number;
  nextImageId: number;
  nextKey: number;
}

export interface FakeMon {
  readonly v2: string;
  readonly v1: string;
  inQuorum: boolean;
}

export interface FakeMgr {
  active: boolean;
}

export interface FakeOsd {
  readonly id: number;
  readonly uuid: string;
  up: boolean;
  in: boolean;
  weight: number;
  sizeBytes: number;
  usedBytes: number;
  deviceClass: string | undefined;
  /** The CRUSH host that holds it, undefined while it is a stray. */
  host: string | undefined;
  crushWeight: number;
  /** True once it reported; one that never did cannot be judged by safe-to-destroy. */
  booted: boolean;
  versionText: string;
}

export interface FakeBucket {
  readonly id: number;
  readonly type: string;
  parent: string | undefined;
}

export interface FakePool {
  readonly id: number;
  name: string;
  type: 'replicated' | 'erasure';
  size: number;
  minSize: number;
  pgNum: number;
  rule: string;
  autoscaleMode: string;
  /** compression_mode, target_size_ratio and the like, set by `osd pool set`. */
  options: Map<string, string>;
  applications: Set<string>;
  quotaMaxBytes: number;
  quotaMaxObjects: number;
  storedBytes: number;
  /** RADOS namespaces by name; '' is the default one. */
  namespaces: Map<string, FakeNamespace>;
}

export interface FakeNamespace {
  objects: Map<string, FakeObject>;
  images: Map<string, FakeImage>;
  trash: Map<string, FakeTrashEntry>;
}

export interface FakeObject {
  omap: Map<string, string>;
  locks: Map<string, FakeLockHolder[]>;
}

export interface FakeLockHolder {
  client: string;
  cookie: string;
  address: string;
  description: string;
}

export interface FakeImage {
  readonly id: string;
  sizeBytes: bigint;
  features: string[];
  objectSizeBytes: number;
  dataPool: string | undefined;
  snapshots: string[];
  watchers: { address: string; client: string }[];
  metadata: Map<string, string>;
}

export interface FakeTrashEntry {
  name: string;
  image: FakeImage;
  expiresAtMs: number;
}

export interface FakeRule {
  readonly id: number;
  root: string;
  failureDomain: string;
  deviceClass: string | undefined;
}

export interface FakeAuth {
  key: string;
  caps: Map<string, string>;
}

export interface FakeBlock {
  untilMs: number;
  range: boolean;
}

export interface FakeHealthCheck {
  severity: 'HEALTH_WARN' | 'HEALTH_ERR';
  message: string;
  count?: number;
  detail?: readonly string[];
}

export interface FakeOsdSpec {
  readonly host?: string;
  readonly deviceClass?: string;
  readonly sizeBytes?: number;
}

export interface FakeStateOptions {
  /** Names of the mons, all in quorum; `a` where not said. */
  readonly mons?: readonly string[];
  /** OSDs that are up and in, one per host `node-a`, `node-b`, ... where no host is said; 3 where not said. */
  readonly osds?: number | readonly FakeOsdSpec[];
  /** Names of mgrs, the first active; `a` where not said. */
  readonly mgrs?: readonly string[];
  /** Replicated pools, initialised for RBD, made at the start. */
  readonly pools?: readonly string[];
  readonly fsid?: string;
}

const versionText = 'ceph version 16.2.15 (618f440892089921c3e944a991122ddc44e60516) pacific (stable)';
const gib = 1024 ** 3;

export function createFakeState(options: FakeStateOptions = {}): FakeState {
  const { mons = ['a'], mgrs = ['a'], osds = 3, fsid = 'f5a1c000-0000-4000-8000-000000000001' } = options;
  const state: FakeState = {
    fsid,
    release: 'pacific',
    versionText,
    epoch: 1,
    mons: new Map(),
    mgrs: new Map(mgrs.map((name, at) => [name, { active: at === 0 }])),
    osds: new Map(),
    pools: new Map(),
    rules: new Map([
      ['replicated_rule', { id: 0, root: 'default', failureDomain: 'host', deviceClass: undefined }],
    ]),
    buckets: new Map([['default', { id: -1, type: 'root', parent: undefined }]]),
    auth: new Map(),
    config: new Map(),
    configKeys: new Map(),
    blocklist: new Map(),
    flags: new Set(['sortbitwise', 'recovery_deletes', 'purged_snapdirs', 'pglog_hardlimit']),
    healthChecks: new Map(),
    mutes: new Set(),
    modules: new Set(['iostat', 'nfs', 'restful']),
    ratios: { full: 0.95, backfillfull: 0.9, nearfull: 0.85 },
    minCompatClient: 'luminous',
    pgStates: undefined,
    nextPoolId: 1,
    nextRuleId: 1,
    nextBucketId: -2,
    nextClientId: 4100,
    nextImageId: 0x1000,
    nextKey: 1,
  };
  mons.forEach((name, at) => addMon(state, name, `10.96.0.${10 + at}`));
  state.auth.set('client.admin', {
    key: nextKey(state),
    caps: new Map([
      ['mds', 'allow *'],
      ['mgr', 'allow *'],
      ['mon', 'allow *'],
      ['osd', 'allow *'],
    ]),
  });
  const specs = typeof osds === 'number' ? Array.from({ length: osds }, (): FakeOsdSpec => ({})) : osds;
  specs.forEach((spec, id) => {
    newOsd(state, id, osdUuid(id));
    bootOsd(state, id, { host: `node-${String.fromCharCode(97 + (id % 26))}`, ...spec });
  });
  for (const name of options.pools ?? []) {
    const pool = addPool(state, name, {});
    pool.applications.add('rbd');
    namespaceOf(pool, '').objects.set('rbd_info', newObject());
  }
  return state;
}

const osdUuid = (id: number) => `05d00000-0000-4000-8000-${String(id).padStart(12, '0')}`;

export function addMon(state: FakeState, name: string, host: string): FakeMon {
  const mon: FakeMon = { v2: `${host}:3300`, v1: `${host}:6789`, inQuorum: true };
  state.mons.set(name, mon);
  return mon;
}

/** A made-up but well-formed cephx key: type 1, a time, 16 bytes; never a real one. */
export function nextKey(state: FakeState): string {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(1, 0);
  bytes.writeUInt16LE(16, 10);
  bytes.writeUInt32LE(state.nextKey++, 12);
  return bytes.toString('base64');
}

export function newOsd(state: FakeState, id: number, uuid: string): FakeOsd {
  const osd: FakeOsd = {
    id,
    uuid,
    up: false,
    in: true,
    weight: 1,
    sizeBytes: 10 * gib,
    usedBytes: 18 * 1024 * 1024,
    deviceClass: undefined,
    host: undefined,
    crushWeight: 0,
    booted: false,
    versionText: state.versionText,
  };
  state.osds.set(id, osd);
  return osd;
}

/** Lets an OSD that `osd new` made come up, as its daemon would: in CRUSH under its host, with a class. */
export function bootOsd(state: FakeState, id: number, spec: FakeOsdSpec = {}): void {
  const osd = state.osds.get(id);
  if (!osd) throw new Error(`there is no osd.${id} to boot; call osd new first`);
  osd.sizeBytes = spec.sizeBytes ?? osd.sizeBytes;
  osd.deviceClass ??= spec.deviceClass ?? 'ssd';
  if (osd.host === undefined) {
    const host = spec.host ?? 'node-a';
    addBucket(state, host, 'host', 'default');
    osd.host = host;
    osd.crushWeight = osd.sizeBytes / 1024 ** 4;
  }
  osd.up = true;
  osd.booted = true;
  state.epoch++;
  // The mgr makes its own pool once the first OSD is there.
  if (!state.pools.has('device_health_metrics') && state.mgrs.size > 0) {
    const pool = addPool(state, 'device_health_metrics', { pgNum: 1 });
    pool.applications.add('mgr_devicehealth');
  }
}

export function addBucket(state: FakeState, name: string, type: string, parent: string | undefined): void {
  const bucket = state.buckets.get(name);
  if (bucket) return;
  state.buckets.set(name, { id: state.nextBucketId, type, parent });
  state.nextBucketId -= 2; // Every other id is the class shadow's.
}

export function addPool(
  state: FakeState,
  name: string,
  { pgNum = 32, rule = 'replicated_rule', size }: { pgNum?: number; rule?: string; size?: number },
): FakePool {
  const copies = size ?? Number(state.config.get('global/osd_pool_default_size') ?? 3);
  const pool: FakePool = {
    id: state.nextPoolId++,
    name,
    type: 'replicated',
    size: copies,
    minSize: copies - Math.floor(copies / 2),
    pgNum,
    rule,
    autoscaleMode: 'on',
    options: new Map(),
    applications: new Set(),
    quotaMaxBytes: 0,
    quotaMaxObjects: 0,
    storedBytes: 0,
    namespaces: new Map(),
  };
  state.pools.set(name, pool);
  state.epoch++;
  return pool;
}

export function namespaceOf(pool: FakePool, name: string): FakeNamespace {
  let namespace = pool.namespaces.get(name);
  if (!namespace) {
    namespace = { objects: new Map(), images: new Map(), trash: new Map() };
    pool.namespaces.set(name, namespace);
  }
  return namespace;
}

export const newObject = (): FakeObject => ({ omap: new Map(), locks: new Map() });
