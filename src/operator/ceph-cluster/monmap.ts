import { isIPv4, isIPv6 } from 'node:net';

export interface MonMapMember {
  readonly name: string;
  readonly address: string;
}

/**
 * A first monmap (epoch 0) in Ceph’s encoding, as `monmaptool --create` writes it. Mons that are made from
 * one know each other’s names and ranks at once. Made from mon_host alone they only know addresses, and
 * change ranks while they find each other: slower, and Pacific’s mons can abort over it
 * (ConnectionTracker::notify_rank_removed).
 */
export function encodeMonMap(
  fsid: string,
  members: readonly MonMapMember[],
  nowMs: number,
  release: number,
): Buffer {
  const created = Buffer.concat([u32(Math.floor(nowMs / 1000)), u32((nowMs % 1000) * 1_000_000)]);
  const noFeatures = versioned(1, 1, u64(0n));
  const body = Buffer.concat([
    Buffer.from(fsid.replaceAll('-', ''), 'hex'),
    u32(0),
    created,
    created,
    noFeatures,
    noFeatures,
    list(members.map((member) => Buffer.concat([text(member.name), monInfo(member)]))),
    list(members.map((member) => text(member.name))),
    u8(release),
  ]);
  // Version 7 ends with the release; what later versions add has its defaults. Readers need 6.
  return versioned(7, 6, body);
}

function monInfo({ name, address }: MonMapMember): Buffer {
  const addresses = [socketAddress(2, address, 3300), socketAddress(1, address, 6789)];
  return versioned(
    5,
    1,
    // Name, v2 and v1 address, then priority, weight and an empty CRUSH location.
    Buffer.concat([text(name), u8(2), list(addresses), Buffer.alloc(2 + 2 + 4)]),
  );
}

/** Type 2 is msgr2, 1 the older protocol. */
function socketAddress(type: 1 | 2, address: string, port: number): Buffer {
  const portBytes = Buffer.alloc(2);
  portBytes.writeUInt16BE(port);
  let socket: Buffer;
  if (isIPv4(address)) {
    socket = Buffer.concat([u16(2), portBytes, Buffer.from(address.split('.').map(Number)), Buffer.alloc(8)]);
  } else if (isIPv6(address)) {
    socket = Buffer.concat([u16(10), portBytes, Buffer.alloc(4), ipv6Bytes(address), Buffer.alloc(4)]);
  } else {
    throw new Error(`${address} is no address of a mon`);
  }
  return Buffer.concat([
    u8(1),
    versioned(1, 1, Buffer.concat([u32(type), u32(0), u32(socket.length), socket])),
  ]);
}

function ipv6Bytes(address: string): Buffer {
  const [head = '', tail = ''] = address.split('::');
  const groups = (part: string) => part.split(':').filter((group) => group !== '');
  const [left, right] = [groups(head), groups(tail)];
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  const bytes = Buffer.alloc(16);
  for (const [index, group] of [...left, ...zeros, ...right].entries())
    bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2);
  return bytes;
}

const u8 = (value: number): Buffer => Buffer.from([value]);
function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}
function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}
const text = (value: string): Buffer => Buffer.concat([u32(Buffer.byteLength(value)), Buffer.from(value)]);
const list = (items: readonly Buffer[]): Buffer => Buffer.concat([u32(items.length), ...items]);
const versioned = (version: number, compat: number, body: Buffer): Buffer =>
  Buffer.concat([u8(version), u8(compat), u32(body.length), body]);
