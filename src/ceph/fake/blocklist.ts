import { fail, optional, stamp, text, type FakeCall, type FakeHandlers } from './command.ts';
import type { FakeState } from './state.ts';

export const blocklistCommands: FakeHandlers = {
  'osd blocklist': (call) => {
    const { state, nowMs } = call;
    const range = optional(call, 'range') === 'range';
    const key = blocklistKey(call, text(call, 'addr'), range);
    if (text(call, 'blocklistop') === 'rm') {
      state.blocklist.delete(key);
      state.epoch++;
      return;
    }
    // Ceph's map keeps the first expiry: adding an entry again says success and renews nothing.
    const standing = state.blocklist.get(key);
    if (standing && standing.untilMs > nowMs) return;
    state.blocklist.set(key, { untilMs: nowMs + Number(call.command['expire'] ?? 3600) * 1000, range });
    state.epoch++;
    dropBlockedWatchers(state, nowMs);
  },
  'osd blocklist ls': ({ state, nowMs }) => {
    const entries = [...state.blocklist].filter(([, block]) => block.untilMs > nowMs);
    const addresses = entries.filter(([, block]) => !block.range);
    const ranges = entries.filter(([, block]) => block.range);
    // Two documents, one after the other: that is how Ceph answers.
    return (
      JSON.stringify(addresses.map(([addr, block]) => ({ addr, until: stamp(block.untilMs) }))) +
      JSON.stringify(ranges.map(([range, block]) => ({ range, until: stamp(block.untilMs) })))
    );
  },
  'osd blocklist clear': ({ state }) => state.blocklist.clear(),
};

function blocklistKey(call: FakeCall, address: string, range: boolean): string {
  const pattern = range ? /^([0-9.]+)\/(\d+)$/ : /^([0-9.]+)(:\d+\/\d+)?$/;
  const match = pattern.exec(address);
  if (!match) return fail(call, 'EINVAL', `unable to parse address ${address}`);
  return range ? `${match[1]}:0/${match[2]}` : match[2] ? address : `${address}:0/0`;
}

/** Whether an entry covers a client address such as `10.1.2.3:0/4123`. */
export function isBlocked(state: FakeState, address: string, nowMs: number): boolean {
  const ip = address.slice(0, address.lastIndexOf(':'));
  return [...state.blocklist].some(([key, block]) => {
    if (block.untilMs <= nowMs) return false;
    if (!block.range) return key === address || key === `${ip}:0/0`;
    const [base = '', bits = '32'] = key.split(':0/');
    const shift = 32 - Number(bits);
    return shift >= 32 || ipNumber(base) >>> shift === ipNumber(ip) >>> shift;
  });
}

const ipNumber = (ip: string): number =>
  ip.split('.').reduce((total, part) => ((total << 8) | Number(part)) >>> 0, 0);

/** An OSD cuts the watches of a blocklisted client at once. */
function dropBlockedWatchers(state: FakeState, nowMs: number): void {
  for (const pool of state.pools.values())
    for (const namespace of pool.namespaces.values())
      for (const image of namespace.images.values())
        image.watchers = image.watchers.filter((watcher) => !isBlocked(state, watcher.address, nowMs));
}
