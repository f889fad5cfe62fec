import type { Container, Pod, ResourceFieldSelector } from 'kubernetes-types/core/v1.js';
import { parseQuantity } from '../../lib/quantity.ts';

/** What a pod may be told about itself that its stored object does not say yet. */
export interface PodAddresses {
  readonly nodeName: string;
  readonly hostIp: string;
  /** Empty until there is a sandbox. */
  readonly podIps: readonly string[];
}

export interface NodeCapacity {
  readonly milliCpu: bigint;
  readonly memoryBytes: bigint;
  readonly ephemeralStorageBytes: bigint;
}

const keyed = /^metadata\.(labels|annotations)\['(.+)'\]$/;

/** The value of a fieldRef, or undefined where the path is none that a pod may ask for. */
export function podField(pod: Pod, path: string, addresses: PodAddresses): string | undefined {
  const meta = pod.metadata ?? {};
  const match = keyed.exec(path);
  if (match) return meta[match[1] as 'labels' | 'annotations']?.[match[2] as string] ?? '';
  switch (path) {
    case 'metadata.name':
      return meta.name ?? '';
    case 'metadata.namespace':
      return meta.namespace ?? '';
    case 'metadata.uid':
      return meta.uid ?? '';
    case 'metadata.labels':
      return mapText(meta.labels);
    case 'metadata.annotations':
      return mapText(meta.annotations);
    case 'spec.nodeName':
      return addresses.nodeName;
    case 'spec.serviceAccountName':
      return pod.spec?.serviceAccountName ?? '';
    case 'status.hostIP':
    case 'status.hostIPs':
      return addresses.hostIp;
    case 'status.podIP':
      return addresses.podIps[0] ?? '';
    case 'status.podIPs':
      return addresses.podIps.join(',');
    default:
      return undefined;
  }
}

/** `key="value"` lines, sorted, with Go's quoting: what downward API files hold. */
function mapText(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');
}

/** The value of a resourceFieldRef in units of its divisor, rounded up; undefined for an unknown resource. */
export function resourceField(
  container: Container,
  selector: ResourceFieldSelector,
  capacity: NodeCapacity,
): string | undefined {
  const [kind, ...rest] = selector.resource.split('.');
  const name = rest.join('.');
  if (kind !== 'limits' && kind !== 'requests') return undefined;
  const text =
    container.resources?.[kind]?.[name] ??
    (kind === 'requests' ? container.resources?.limits?.[name] : undefined);
  let milli = text === undefined ? undefined : parseQuantity(text)?.milli;
  // A container without a limit may use the whole node, so that is what it is told.
  if (milli === undefined && kind === 'limits') milli = wholeNode(name, capacity);
  milli ??= 0n;
  const divisor = parseQuantity(selector.divisor || '1')?.milli ?? 1000n;
  const unit = divisor === 0n ? 1000n : divisor;
  return String((milli + unit - 1n) / unit);
}

function wholeNode(name: string, capacity: NodeCapacity): bigint | undefined {
  if (name === 'cpu') return capacity.milliCpu;
  if (name === 'memory') return capacity.memoryBytes * 1000n;
  if (name === 'ephemeral-storage') return capacity.ephemeralStorageBytes * 1000n;
  return undefined;
}
