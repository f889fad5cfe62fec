import type { Service, ServiceSpec } from 'kubernetes-types/core/v1.js';
import { internalError, invalid } from '../status.ts';
import type { FieldError, JsonObject } from '../kind.ts';
import { isObject } from '../registry/json.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../registry/request.ts';
import type { WatchCache } from '../registry/watch-cache.ts';

/** An IPv4 range: `10.96.0.0/16`. */
export interface ServiceRange {
  /** The first address after the network's own: the API's. */
  readonly first: string;
  readonly size: number;
  /** The address at an offset from the network's. */
  at(offset: number): string;
  contains(address: string): boolean;
}

const toNumber = (address: string): number | undefined => {
  const parts = address.split('.').map(Number);
  if (parts.length !== 4 || parts.some((part) => !Number.isInteger(part) || part < 0 || part > 255))
    return undefined;
  return parts.reduce((sum, part) => sum * 256 + part, 0);
};
const toText = (value: number): string => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');

export function serviceRange(cidr: string): ServiceRange {
  const [network = '', bits = ''] = cidr.split('/');
  const base = toNumber(network);
  const prefix = Number(bits);
  if (base === undefined || !Number.isInteger(prefix) || prefix < 8 || prefix > 29)
    throw new Error(`service range ${cidr}: wanted an IPv4 range with a prefix of 8 to 29`);
  const size = 2 ** (32 - prefix);
  const start = base - (base % size);
  return {
    first: toText(start + 1),
    size,
    at: (offset) => toText(start + offset),
    contains(address) {
      const value = toNumber(address);
      // Neither the network's own address nor the broadcast one.
      return value !== undefined && value > start && value < start + size - 1;
    },
  };
}

const serviceStorage = 'core/services';

const wrong = (value: string, why: string): FieldError => ({
  field: 'spec.clusterIPs',
  reason: 'FieldValueInvalid',
  message: `Invalid value: ${JSON.stringify([value])}: failed to allocate IP ${value}: ${why}`,
});

/** Gives Services their cluster IP: the asked one where it is free, else a random free one. */
export function clusterIpAllocator(
  cache: WatchCache,
  range: ServiceRange,
  random: () => number,
): AdmissionPlugin {
  // Given to a Service whose write the cache does not show yet.
  const pending = new Set<string>();
  const services = cache.of(serviceStorage);

  function taken(exceptKey: string): Set<string> {
    const used = new Set(pending);
    const snapshot = services.snapshot();
    for (const key of snapshot?.keys ?? []) {
      const ip = key === exceptKey ? undefined : (snapshot?.get(key) as Service | undefined)?.spec?.clusterIP;
      if (ip && ip !== 'None') used.add(ip);
    }
    return used;
  }

  function free(used: ReadonlySet<string>): string {
    const usable = range.size - 3;
    const start = Math.floor(random() * usable);
    for (let i = 0; i < usable; i++) {
      // .1 stays the API's own.
      const address = range.at(2 + ((start + i) % usable));
      if (!used.has(address)) return address;
    }
    throw internalError('failed to allocate a serviceIP: range is full');
  }

  function allocate(request: AdmissionRequest, spec: ServiceSpec): void {
    const used = taken(`${request.namespace}/${request.name}`);
    const asked = spec.clusterIP || spec.clusterIPs?.[0];
    if (asked && !range.contains(asked))
      throw invalid(request.kind, request.name, [
        wrong(asked, `the provided IP is not in the valid range of service IPs`),
      ]);
    if (asked && used.has(asked))
      throw invalid(request.kind, request.name, [wrong(asked, 'provided IP is already allocated')]);
    const address = asked ?? free(used);
    pending.add(address);
    request.afterwards(() => pending.delete(address));
    spec.clusterIP = address;
    spec.clusterIPs = [address];
  }

  return {
    name: 'ClusterIP',
    admit(request) {
      const { kind, object, live } = request;
      const found = (object as JsonObject)['spec'];
      if (kind.group !== '' || kind.plural !== 'services' || !isObject(found)) return;
      const spec = found as unknown as ServiceSpec;
      spec.type ??= 'ClusterIP';
      if (spec.type === 'ExternalName') return;
      withFamilies(spec);
      const before = (live as Service | undefined)?.spec?.clusterIP;
      if (before) keepAddress(request, spec, before);
      else if (spec.clusterIP === 'None' || spec.clusterIPs?.[0] === 'None') {
        spec.clusterIP = 'None';
        spec.clusterIPs = ['None'];
      } else allocate(request, spec);
    },
  };
}

function withFamilies(spec: ServiceSpec): void {
  spec.sessionAffinity ??= 'None';
  spec.ipFamilies ??= ['IPv4'];
  spec.ipFamilyPolicy ??= 'SingleStack';
  spec.internalTrafficPolicy ??= 'Cluster';
}

/** An address stays for the Service's life; a writer that does not name it means the one there is. */
function keepAddress(request: AdmissionRequest, spec: ServiceSpec, before: string): void {
  spec.clusterIP ||= before;
  if (spec.clusterIP !== before)
    throw invalid(request.kind, request.name, [
      {
        field: 'spec.clusterIPs[0]',
        reason: 'FieldValueInvalid',
        message: `Invalid value: ${JSON.stringify([spec.clusterIP])}: may not change once set`,
      },
    ]);
  spec.clusterIPs = [before];
}
