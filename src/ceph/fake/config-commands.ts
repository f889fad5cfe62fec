import { fail, optional, text, type FakeCall, type FakeHandlers } from './command.ts';

const numeric = /(_size|_pg_num|_count|_bytes|_interval|_timeout|_grace|_sleep|_max|_min)$/;
// Ceph knows about 1,800 options; the fake knows how their names begin.
const known =
  /^(auth|bdev|bluefs|bluestore|client|cluster|crash|debug|err|fuse|heartbeat|journal|kstore|leveldb|log|mds|memstore|mgr|mon|ms|objecter|objectstore|osd|paxos|public|rados|rbd|rgw|rocksdb|target|threadpool|throttler|mgr\/)/;

const sectionOf = (call: FakeCall) => text(call, 'who');

function setOption(call: FakeCall) {
  const name = text(call, 'name');
  const value = text(call, 'value');
  if (!known.test(name)) fail(call, 'EINVAL', `unrecognized config option '${name}'`);
  if (numeric.test(name) && !/^\d/.test(value))
    fail(call, 'EINVAL', 'error parsing value: strict_si_cast: unit prefix not recognized');
  call.state.config.set(`${sectionOf(call)}/${name}`, value);
}

/** The sections that count for a daemon, the most general first. */
function sectionsFor(who: string): string[] {
  const type = who.split('.')[0] ?? who;
  return [...new Set(['global', type, who])];
}

function getOption(call: FakeCall) {
  const effective = new Map<string, { value: string; section: string }>();
  for (const section of sectionsFor(sectionOf(call)))
    for (const [key, value] of call.state.config)
      if (key.startsWith(`${section}/`)) effective.set(key.slice(section.length + 1), { value, section });
  const key = optional(call, 'key');
  if (key !== undefined) {
    const found = effective.get(key);
    if (!found && !known.test(key)) fail(call, 'ENOENT', `unrecognized key '${key}'`);
    return `${found?.value ?? ''}\n`;
  }
  return Object.fromEntries(
    [...effective].map(([name, { value, section }]) => [
      name,
      { value, section, mask: {}, can_update_at_runtime: true },
    ]),
  );
}

export const configCommands: FakeHandlers = {
  'config set': setOption,
  'config get': getOption,
  'config rm': (call) => void call.state.config.delete(`${sectionOf(call)}/${text(call, 'name')}`),
  'config dump': ({ state }) =>
    [...state.config].map(([key, value]) => ({
      section: key.slice(0, key.indexOf('/')),
      name: key.slice(key.indexOf('/') + 1),
      value,
      level: 'advanced',
      can_update_at_runtime: true,
      mask: '',
    })),
  'config-key set': (call) => {
    call.state.configKeys.set(text(call, 'key'), call.input ?? text(call, 'val'));
  },
  'config-key get': (call) => `${call.state.configKeys.get(text(call, 'key')) ?? fail(call, 'ENOENT', '')}\n`,
  'config-key exists': (call) => {
    const key = text(call, 'key');
    if (!call.state.configKeys.has(key)) fail(call, 'ENOENT', `key '${key}' doesn't exist`);
  },
  'config-key rm': (call) => void call.state.configKeys.delete(text(call, 'key')),
  'config-key dump': ({ state }) => Object.fromEntries(state.configKeys),
  'config-key ls': ({ state }) => [...state.configKeys.keys()],
};
