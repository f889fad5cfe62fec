import { fail, flag, list, optional, poolOf, text, type FakeCall, type FakeHandlers } from './command.ts';
import { addPool, type FakePool } from './state.ts';

const reallySure = 'yes_i_really_really_mean_it';

function createPool(call: FakeCall) {
  const name = text(call, 'pool');
  const rule = optional(call, 'rule');
  if (rule !== undefined && !call.state.rules.has(rule))
    fail(call, 'ENOENT', `specified rule ${rule} doesn't exist`);
  if (call.state.pools.has(name)) return;
  const pgNum = Number(call.command['pg_num'] ?? 32);
  const size = Number(call.command['size'] ?? 0);
  const pool = addPool(call.state, name, {
    pgNum,
    ...(rule === undefined ? {} : { rule }),
    ...(size > 0 ? { size } : {}),
  });
  pool.type = text(call, 'pool_type') === 'erasure' ? 'erasure' : 'replicated';
  pool.autoscaleMode = optional(call, 'autoscale_mode') ?? 'on';
}

function values(pool: FakePool) {
  return {
    size: pool.size,
    min_size: pool.minSize,
    pg_num: pool.pgNum,
    pgp_num: pool.pgNum,
    crush_rule: pool.rule,
    hashpspool: true,
    nodelete: false,
    nopgchange: false,
    nosizechange: false,
    write_fadvise_dontneed: false,
    noscrub: false,
    'nodeep-scrub': false,
    use_gmt_hitset: true,
    fast_read: 0,
    pg_autoscale_mode: pool.autoscaleMode,
    bulk: false,
  };
}

const optionValue = (value: string): string | number =>
  value !== '' && Number.isFinite(Number(value)) ? Number(value) : value;

function getPool(call: FakeCall) {
  const pool = poolOf(call);
  const variable = text(call, 'var');
  const options = Object.fromEntries([...pool.options].map(([name, value]) => [name, optionValue(value)]));
  const all: Record<string, unknown> = { ...values(pool), ...options };
  const head = { pool: pool.name, pool_id: pool.id };
  if (variable === 'all') return { ...head, ...all };
  if (variable in all) return { ...head, [variable]: all[variable] };
  return fail(
    call,
    settable.has(variable) ? 'ENOENT' : 'EINVAL',
    settable.has(variable) ? `option '${variable}' is not set on pool '${pool.name}'` : `invalid command`,
  );
}

const settable = new Set([
  'compression_mode',
  'compression_algorithm',
  'compression_required_ratio',
  'target_size_ratio',
  'target_size_bytes',
  'pg_num_min',
  'pg_num_max',
  'pg_autoscale_bias',
  'recovery_priority',
  'csum_type',
]);

function setPool(call: FakeCall) {
  const pool = poolOf(call);
  const variable = text(call, 'var');
  const value = text(call, 'val');
  call.state.epoch++;
  switch (variable) {
    case 'size':
      return setSize(call, pool, Number(value));
    case 'min_size':
      if (!(Number(value) >= 1 && Number(value) <= pool.size))
        fail(call, 'EINVAL', `pool min_size must be between 1 and size, which is set to ${pool.size}`);
      pool.minSize = Number(value);
      return;
    case 'crush_rule':
      if (!call.state.rules.has(value)) fail(call, 'ENOENT', `crush rule ${value} does not exist`);
      pool.rule = value;
      return;
    case 'pg_num':
    case 'pgp_num':
      pool.pgNum = Number(value);
      return;
    case 'pg_autoscale_mode':
      pool.autoscaleMode = value;
      return;
    default:
      if (!settable.has(variable)) fail(call, 'EINVAL', `unrecognized variable '${variable}'`);
      if (value === '0' || value === 'unset') pool.options.delete(variable);
      else pool.options.set(variable, value);
  }
}

function setSize(call: FakeCall, pool: FakePool, size: number): void {
  if (!(size >= 1 && size <= 10)) fail(call, 'EINVAL', 'pool size must be between 1 and 10');
  if (size === 1 && !flag(call, 'yes_i_really_mean_it'))
    fail(
      call,
      'EPERM',
      'WARNING: setting pool size 1 could lead to data loss without recovery. If you are *ABSOLUTELY CERTAIN* that is what you want, pass the flag --yes-i-really-mean-it.',
    );
  pool.size = size;
  // Ceph moves min_size along with size, to its default for that size.
  pool.minSize = size - Math.floor(size / 2);
}

function removePool(call: FakeCall) {
  const name = text(call, 'pool');
  if (!call.state.pools.has(name)) return;
  if (optional(call, 'pool2') !== name || !flag(call, reallySure))
    fail(
      call,
      'EPERM',
      `WARNING: this will *PERMANENTLY DESTROY* all data stored in pool ${name}.  If you are *ABSOLUTELY CERTAIN* that is what you want, pass the pool name *twice*, followed by --yes-i-really-really-mean-it.`,
    );
  const allowed =
    call.state.config.get('mon/mon_allow_pool_delete') ??
    call.state.config.get('global/mon_allow_pool_delete');
  if (allowed === 'false')
    fail(
      call,
      'EPERM',
      'pool deletion is disabled; you must first set the mon_allow_pool_delete config option to true before you can destroy a pool',
    );
  call.state.pools.delete(name);
  call.state.epoch++;
}

function detail(call: FakeCall, pool: FakePool, idField: 'pool' | 'pool_id') {
  return {
    [idField]: pool.id,
    pool_name: pool.name,
    flags: 1,
    flags_names: 'hashpspool',
    type: pool.type === 'erasure' ? 3 : 1,
    size: pool.size,
    min_size: pool.minSize,
    crush_rule: call.state.rules.get(pool.rule)?.id ?? 0,
    pg_autoscale_mode: pool.autoscaleMode,
    pg_num: pool.pgNum,
    pg_placement_num: pool.pgNum,
    quota_max_bytes: pool.quotaMaxBytes,
    quota_max_objects: pool.quotaMaxObjects,
    erasure_code_profile: '',
    options: Object.fromEntries([...pool.options].map(([name, value]) => [name, optionValue(value)])),
    application_metadata: Object.fromEntries([...pool.applications].map((name) => [name, {}])),
  };
}

export const poolsOfDump = (call: FakeCall) =>
  [...call.state.pools.values()].map((pool) => detail(call, pool, 'pool'));

export const poolCommands: FakeHandlers = {
  'osd pool create': createPool,
  'osd pool get': getPool,
  'osd pool set': setPool,
  'osd pool rm': removePool,
  'osd pool ls': (call) =>
    text(call, 'detail') === 'detail'
      ? [...call.state.pools.values()].map((pool) => detail(call, pool, 'pool_id'))
      : [...call.state.pools.keys()],
  'osd lspools': ({ state }) =>
    [...state.pools.values()].map((pool) => ({ poolnum: pool.id, poolname: pool.name })),
  'osd pool rename': (call) => {
    const pool = poolOf(call, 'srcpool');
    const to = text(call, 'destpool');
    if (call.state.pools.has(to)) fail(call, 'EEXIST', `pool '${to}' already exists`);
    call.state.pools.delete(pool.name);
    pool.name = to;
    call.state.pools.set(to, pool);
  },
  'osd pool application enable': (call) => {
    const pool = poolOf(call);
    const app = text(call, 'app');
    if (pool.applications.has(app)) return;
    if (pool.applications.size > 0 && !flag(call, 'yes_i_really_mean_it'))
      fail(
        call,
        'EPERM',
        `Are you SURE? Pool '${pool.name}' already has an enabled application; pass --yes-i-really-mean-it to proceed anyway`,
      );
    pool.applications.add(app);
  },
  'osd pool application disable': (call) => void poolOf(call).applications.delete(text(call, 'app')),
  'osd pool application get': (call) =>
    Object.fromEntries([...poolOf(call).applications].map((name) => [name, {}])),
  'osd pool set-quota': (call) => {
    const pool = poolOf(call);
    const value = Number(text(call, 'val'));
    if (!Number.isFinite(value)) fail(call, 'EINVAL', `error parsing value '${text(call, 'val')}'`);
    if (text(call, 'field') === 'max_bytes') pool.quotaMaxBytes = value;
    else if (text(call, 'field') === 'max_objects') pool.quotaMaxObjects = value;
    else fail(call, 'EINVAL', `unrecognized option '${text(call, 'field')}'`);
  },
  'osd pool get-quota': (call) => {
    const pool = poolOf(call);
    return {
      pool_name: pool.name,
      pool_id: pool.id,
      quota_max_objects: pool.quotaMaxObjects,
      current_num_objects: 0,
      quota_max_bytes: pool.quotaMaxBytes,
      current_num_bytes: pool.storedBytes,
    };
  },
  'osd erasure-code-profile ls': () => ['default'],
  'osd erasure-code-profile set': (call) => void list(call, 'profile'),
};
