import { addToBlocklist, readBlocklist, removeFromBlocklist } from './blocklist.ts';
import type { Ceph } from './seam.ts';

/**
 * Keeps every client of an address fenced for at least half of `seconds` from now; called again and again it is a
 * lease. An entry cannot be renewed (see addToBlocklist), and to remove it first would open a gap. But there are
 * two kinds of entry that cover a whole address: a range of one (`10.1.0.2/32`) and the plain address
 * (`10.1.0.2:0/0`). While one runs out the other is added anew. Answers when the longer of them ends.
 */
export async function fenceAddress(
  ceph: Ceph,
  ip: string,
  seconds: number,
  nowMs: number,
  signal: AbortSignal,
): Promise<Date> {
  const standing = await readFence(ceph, ip, nowMs, signal);
  const latestMs = Math.max(standing.range ?? 0, standing.plain ?? 0);
  const bothStand = standing.range !== undefined && standing.plain !== undefined;
  if (latestMs - nowMs >= (seconds * 1000) / 2 || bothStand) return new Date(latestMs);
  const form = standing.range === undefined ? `${ip}/32` : `${ip}:0/0`;
  await addToBlocklist(ceph, form, seconds, signal);
  return new Date(nowMs + seconds * 1000);
}

/** Lifts the fence. Idempotent. The caller knows that no old client of that address can come back. */
export async function liftFence(ceph: Ceph, ip: string, signal: AbortSignal): Promise<void> {
  await removeFromBlocklist(ceph, `${ip}/32`, signal);
  await removeFromBlocklist(ceph, `${ip}:0/0`, signal);
}

/** When each kind of entry ends, in ms since the epoch; undefined where it does not stand. */
async function readFence(
  ceph: Ceph,
  ip: string,
  nowMs: number,
  signal: AbortSignal,
): Promise<{ readonly range: number | undefined; readonly plain: number | undefined }> {
  const entries = (await readBlocklist(ceph, signal)).filter((entry) => entry.until.getTime() > nowMs);
  const endOf = (address: string, range: boolean) =>
    entries.find((entry) => entry.range === range && entry.address === address)?.until.getTime();
  return { range: endOf(`${ip}:0/32`, true), plain: endOf(`${ip}:0/0`, false) };
}
