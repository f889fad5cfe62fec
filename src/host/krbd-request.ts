import { cephxId } from '../lib/cephx-user.ts';
import type { AttachRequest } from './attacher.ts';
import { isKernelRefusal } from './kernel-write.ts';

// The wait for a monitor only: nothing but its writer's end bounds the kernel's wait for an OSD. An option that does
// (osd_request_timeout) stays with the device, and would fail a filesystem's writes where they should wait.
const monTimeoutSeconds = 30;

/** `<mons> name=<user>,secret=<key>[,options] <pool> <image> -`, the kernel's text for a mapping. */
export function mapRequest(request: AttachRequest): string {
  const { text, secondProtocol } = kernelAddresses(request.monHost);
  // The text is cut at spaces and commas: a name with one in it would be read as further options.
  for (const field of ['monHost', 'user', 'key', 'namespace', 'pool', 'image'] as const) {
    const isWord =
      field === 'pool' || field === 'image' || field === 'monHost' ? /^[^\s\0]+$/ : /^[^\s\0,]+$/;
    const value = request[field];
    if (value !== undefined && !isWord.test(value))
      throw new Error(`${field} has a character that the kernel's mapping cannot carry`);
  }
  const options = [
    `name=${cephxId(request.user)}`,
    `secret=${request.key}`,
    `mount_timeout=${monTimeoutSeconds}`,
    // A client of its own for each image: with a shared one, a blocklist entry that fences one image fails the I/O
    // of all, and no image can be mapped until the last of them is unmapped.
    'noshare',
    // The kernel's default is the first protocol. By its documentation `prefer-crc` takes the encrypted mode, too.
    ...(secondProtocol ? ['ms_mode=prefer-crc'] : []),
    ...(request.namespace ? [`_pool_ns=${request.namespace}`] : []),
    ...(request.readOnly ? ['read_only'] : []),
  ];
  return `${text} ${options.join(',')} ${request.pool} ${request.image} -`;
}

const secondProtocolPort = ':3300';

/**
 * The monitors as the kernel takes them: plain addresses of one protocol. The first protocol where any is
 * known to speak it, for every kernel does; the second only since 5.11, and only where it is told so.
 */
export function kernelAddresses(monHost: string): {
  readonly text: string;
  readonly secondProtocol: boolean;
} {
  // `[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0],10.0.0.2:6789,v1:[fd00::3]:6789`; a nonce is for other readers.
  const entries = [
    ...monHost.matchAll(/(?:(v[12]):)?((?:\[[0-9a-f:.]+\]|[^,:[\]/\s]+)(?::\d+)?)(?:\/\d+)?/gi),
  ].map(([, protocol, address = '']) => ({ protocol, address }));
  const tagged = entries.filter(({ protocol }) => protocol === 'v1');
  const first =
    tagged.length > 0
      ? tagged
      : entries.filter(({ protocol, address }) => protocol !== 'v2' && !address.endsWith(secondProtocolPort));
  const addresses = (first.length > 0 ? first : entries).map(({ address }) => address);
  return { text: addresses.join(','), secondProtocol: first.length === 0 };
}

/** Which of the kernel's answers to a mapping means what, as seen on Linux 6.1; `undefined` where it gave none. */
export function mapRefusal({ image, monHost }: AttachRequest, error: unknown): Error | undefined {
  if (!isKernelRefusal(error)) return undefined;
  const orOld = kernelAddresses(monHost).secondProtocol
    ? `, or is older than 5.11 and does not speak to monitors on port ${secondProtocolPort.slice(1)}`
    : '';
  const why: Readonly<Record<string, string>> = {
    ENXIO: 'the image has features that it does not know',
    EINVAL: `it cannot read the key${orOld}`,
    ENOENT: 'there is no such pool, namespace or image',
    EACCES: 'the monitors refuse the user or its key',
    EPERM: 'the user may not use the pool',
    ESHUTDOWN: "the client is on Ceph's blocklist",
    ETIMEDOUT: `no monitor answered within ${monTimeoutSeconds} s`,
  };
  return new Error(`the kernel did not map ${image}: ${why[error.code] ?? 'see its log'} (${error.code})`, {
    cause: error,
  });
}
