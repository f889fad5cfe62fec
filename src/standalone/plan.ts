import type { Instance } from './instance.ts';

/** Addresses of one node. */
export interface NodePlan {
  readonly name: string;
  readonly number: number;
  readonly ip: string;
  readonly podCidr: string;
  readonly disks: number;
  readonly diskSizeBytes: number;
}

export interface InstancePlan {
  /** The host's address on the fabric. */
  readonly hostIp: string;
  readonly prefixLength: number;
  /** default/kubernetes. */
  readonly kubernetesIp: string;
  readonly nodes: readonly NodePlan[];
}

const firstNode = 10; // .1 is the host's; nodes follow from .11.

/** Everything that follows from an instance's ranges. */
export function planOf(instance: Instance): InstancePlan {
  const fabric = parseCidr(instance.fabricCidr);
  const pods = parseCidr(instance.podCidr);
  return {
    hostIp: formatIp(fabric.base + 1),
    prefixLength: fabric.prefixLength,
    kubernetesIp: formatIp(parseCidr(instance.serviceCidr).base + 1),
    nodes: instance.nodes.map((node, index) => ({
      ...node,
      number: index + 1,
      ip: formatIp(fabric.base + firstNode + index + 1),
      podCidr: `${formatIp(pods.base + index * 256)}/24`,
    })),
  };
}

export interface Cidr {
  readonly base: number;
  readonly prefixLength: number;
}

export function parseCidr(text: string): Cidr {
  const [address = '', length = '32'] = text.split('/');
  const prefixLength = Number(length);
  const value = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const mask = prefixLength === 0 ? 0 : (0xffffffff << (32 - prefixLength)) >>> 0;
  return { base: (value & mask) >>> 0, prefixLength };
}

export const formatIp = (value: number): string =>
  [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');

/** Whether two ranges share an address. */
export function overlap(a: Cidr, b: Cidr): boolean {
  const length = Math.min(a.prefixLength, b.prefixLength);
  const mask = length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0;
  return (a.base & mask) >>> 0 === (b.base & mask) >>> 0;
}

export interface Ranges {
  readonly serviceCidr: string;
  readonly podCidr: string;
  readonly fabricCidr: string;
}

// The first is what people expect of a cluster; the others are for hosts that have it in use.
const candidates: readonly Ranges[] = [
  { serviceCidr: '10.96.0.0/16', podCidr: '10.244.0.0/16', fabricCidr: '10.245.0.0/24' },
  { serviceCidr: '10.152.0.0/16', podCidr: '10.153.0.0/16', fabricCidr: '10.154.0.0/24' },
  { serviceCidr: '172.27.0.0/16', podCidr: '172.28.0.0/16', fabricCidr: '172.29.0.0/24' },
  { serviceCidr: '10.201.0.0/16', podCidr: '10.202.0.0/16', fabricCidr: '10.203.0.0/24' },
  { serviceCidr: '10.212.0.0/16', podCidr: '10.213.0.0/16', fabricCidr: '10.214.0.0/24' },
  { serviceCidr: '10.221.0.0/16', podCidr: '10.222.0.0/16', fabricCidr: '10.223.0.0/24' },
  { serviceCidr: '10.230.0.0/16', podCidr: '10.231.0.0/16', fabricCidr: '10.232.0.0/24' },
  { serviceCidr: '10.116.0.0/16', podCidr: '10.117.0.0/16', fabricCidr: '10.118.0.0/24' },
];

/** The first ranges that no route of the host meets; undefined where each of them is in use. */
export function chooseRanges(hostRoutes: readonly string[]): Ranges | undefined {
  const taken = hostRoutes.map(parseCidr).filter((cidr) => cidr.prefixLength > 0);
  return candidates.find((ranges) =>
    Object.values(ranges).every((range) => !taken.some((cidr) => overlap(cidr, parseCidr(range as string)))),
  );
}

/** A route of the host that meets one of the ranges, or undefined. */
export function meetsRoute(ranges: Ranges, hostRoutes: readonly string[]): string | undefined {
  const own = [ranges.serviceCidr, ranges.podCidr, ranges.fabricCidr].map(parseCidr);
  return hostRoutes.find((route) => {
    const taken = parseCidr(route);
    return taken.prefixLength > 0 && own.some((range) => overlap(taken, range));
  });
}

/** Destinations of /proc/net/route, as `10.0.0.0/8`; those of one link are left out where it is given. */
export function parseRoutes(table: string, exceptLink?: string): string[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const fields = line.trim().split(/\s+/);
      const [link, destination, , , , , , mask] = fields;
      if (destination === undefined || mask === undefined || link === exceptLink) return [];
      const little = (hex: string) => Buffer.from(hex, 'hex').readUInt32LE();
      const length = little(mask).toString(2).replaceAll('0', '').length;
      return [`${formatIp(little(destination))}/${length}`];
    });
}
