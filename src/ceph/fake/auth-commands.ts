import { fail, list, text, type FakeCall, type FakeHandlers } from './command.ts';
import { nextKey, type FakeAuth } from './state.ts';

function capsOf(call: FakeCall): Map<string, string> {
  const words = list(call, 'caps');
  const caps = new Map<string, string>();
  for (let at = 0; at < words.length; at += 2) {
    const service = words[at] ?? '';
    const cap = words[at + 1] ?? '';
    if (!/^\s*(allow|profile)\b/.test(cap))
      fail(call, 'EINVAL', `${service} capability parse failed, stopped at '${cap}' of '${cap}'`);
    caps.set(service, cap);
  }
  return caps;
}

function entityOf(call: FakeCall): string {
  const entity = text(call, 'entity');
  if (!/^(client|mon|mgr|osd|mds|auth)\./.test(entity)) fail(call, 'EINVAL', 'bad entity name');
  return entity;
}

const answer = (entity: string, auth: FakeAuth) => [
  { entity, key: auth.key, caps: Object.fromEntries([...auth.caps].sort(([a], [b]) => (a < b ? -1 : 1))) },
];

function getOrCreate(call: FakeCall): { entity: string; auth: FakeAuth } {
  const entity = entityOf(call);
  const caps = capsOf(call);
  let auth = call.state.auth.get(entity);
  if (!auth) {
    auth = { key: nextKey(call.state), caps };
    call.state.auth.set(entity, auth);
  }
  for (const [service, cap] of caps)
    if (auth.caps.get(service) !== cap)
      fail(call, 'EINVAL', `key for ${entity} exists but cap ${service} does not match`);
  return { entity, auth };
}

function existing(call: FakeCall, message: (entity: string) => string): FakeAuth {
  const entity = text(call, 'entity');
  return call.state.auth.get(entity) ?? fail(call, 'ENOENT', message(entity));
}

/** `[client.x]\n\tkey = ...\n\tcaps mon = "..."`: the keyring format. */
function importKeyring(call: FakeCall) {
  let entity: string | undefined;
  for (const line of (call.input ?? '').split('\n')) {
    const section = /^\s*\[(.+)\]\s*$/.exec(line);
    const setting = /^\s*(key|caps\s+(\w+))\s*=\s*"?(.*?)"?\s*$/.exec(line);
    if (section?.[1] !== undefined) {
      entity = section[1];
      call.state.auth.set(entity, { key: '', caps: new Map() });
    } else if (setting && entity !== undefined) {
      const auth = call.state.auth.get(entity);
      if (auth && setting[2] === undefined) auth.key = setting[3] ?? '';
      else if (auth && setting[2] !== undefined) auth.caps.set(setting[2], setting[3] ?? '');
    }
  }
  if (entity === undefined) fail(call, 'EINVAL', 'failed to decode auth import');
}

export const authCommands: FakeHandlers = {
  'auth get-or-create': (call) => {
    const { entity, auth } = getOrCreate(call);
    return answer(entity, auth);
  },
  'auth get-or-create-key': (call) => ({ key: getOrCreate(call).auth.key }),
  'auth get': (call) =>
    answer(
      text(call, 'entity'),
      existing(call, (entity) => `failed to find ${entity} in keyring`),
    ),
  'auth get-key': (call) => ({ key: existing(call, (entity) => `don't have ${entity}`).key }),
  'auth caps': (call) => {
    const auth = existing(call, (entity) => `couldn't find entry ${entity}`);
    auth.caps = capsOf(call);
  },
  'auth add': (call) => {
    const entity = entityOf(call);
    call.state.auth.set(entity, { key: nextKey(call.state), caps: capsOf(call) });
  },
  'auth rm': (call) => void call.state.auth.delete(text(call, 'entity')),
  'auth import': importKeyring,
  'auth ls': ({ state }) => ({
    auth_dump: [...state.auth].flatMap(([entity, auth]) => answer(entity, auth)),
  }),
};
