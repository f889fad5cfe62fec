import { z } from 'zod';
import type { Clock } from '../lib/clock.ts';
import { isCephError } from './errors.ts';
import { readOsdMap } from './osd.ts';
import type { Ceph } from './seam.ts';

export interface BlocklistEntry {
  /** `10.1.0.2:0/4123`, or `10.1.0.2:0/32` for a range. */
  readonly address: string;
  readonly range: boolean;
  readonly until: Date;
}

const Listed = z.tuple([
  z.array(z.object({ addr: z.string(), until: z.string() })),
  z.array(z.object({ range: z.string(), until: z.string() })),
]);
// Ceph 18 and later answer one list, the ranges in it.
const OneList = z.array(z.object({ addr: z.string(), until: z.string() }));

export async function readBlocklist(ceph: Ceph, signal: AbortSignal): Promise<readonly BlocklistEntry[]> {
  const answer = await ceph.mon({ prefix: 'osd blocklist ls' }, z.union([Listed, OneList]), { signal });
  const lists = Listed.safeParse(answer);
  if (!lists.success)
    return OneList.parse(answer).map((entry) => ({
      address: entry.addr,
      range: /:0\/\d{1,2}$/.test(entry.addr),
      until: dateOf(entry.until),
    }));
  const [addresses, ranges] = lists.data;
  return [
    ...addresses.map((entry) => ({ address: entry.addr, range: false, until: dateOf(entry.until) })),
    ...ranges.map((entry) => ({ address: entry.range, range: true, until: dateOf(entry.until) })),
  ];
}

const dateOf = (text: string) => new Date(text.replace('+0000', 'Z'));

/**
 * Fences one client (`10.1.0.2:0/4123`) or, by a CIDR (`10.1.0.2/32`), every client of an address. An entry that
 * stands keeps its first expiry: adding it again answers success and renews nothing (16.2.15), so choose one that
 * is long enough, and lift it by removal. It stops nothing before the OSDs have the new map: wait for that before
 * attaching elsewhere.
 */
export async function addToBlocklist(
  ceph: Ceph,
  address: string,
  seconds: number,
  signal: AbortSignal,
): Promise<void> {
  await ceph.mon(
    {
      prefix: 'osd blocklist',
      ...(address.includes(':') ? {} : { range: 'range' }),
      blocklistop: 'add',
      addr: address,
      expire: seconds,
    },
    z.unknown(),
    { signal },
  );
}

/** Idempotent. */
export async function removeFromBlocklist(ceph: Ceph, address: string, signal: AbortSignal): Promise<void> {
  await ceph.mon(
    {
      prefix: 'osd blocklist',
      ...(address.includes(':') ? {} : { range: 'range' }),
      blocklistop: 'rm',
      addr: address,
    },
    z.unknown(),
    { signal },
  );
}

/**
 * Waits until every OSD that is up has a map at least as new as the one of now, and with it every blocklist entry
 * made before: only then is a fenced client's write refused everywhere. An OSD that goes down meanwhile counts as
 * done, for it gets the map before it serves again. Needs a user who may `tell` OSDs, as client.admin.
 */
export async function waitForOsdMaps(ceph: Ceph, clock: Clock, signal: AbortSignal): Promise<void> {
  const { epoch, osds } = await readOsdMap(ceph, signal);
  await Promise.all(
    osds
      .filter((osd) => osd.up)
      .map(async ({ id }) => {
        while (!(await hasMap(ceph, id, epoch, signal))) await clock.sleep(50, signal);
      }),
  );
}

async function hasMap(ceph: Ceph, id: number, epoch: number, signal: AbortSignal): Promise<boolean> {
  try {
    const shape = z.object({ newest_map: z.int() });
    return (await ceph.osd(id, { prefix: 'status' }, shape, { signal })).newest_map >= epoch;
  } catch (error) {
    if (!isCephError(error)) throw error;
    const { osds } = await readOsdMap(ceph, signal);
    if (osds.find((osd) => osd.id === id)?.up !== true) return true;
    if (error.retryable || error.errnoName === 'ENXIO') return false;
    throw error;
  }
}
