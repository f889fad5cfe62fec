import type { Koffi, Pointer } from '../../lib/koffi.ts';
import { callAsync, check, CodeError } from './koffi-api.ts';
import { bindRados, bindRbd, type CephLibraries, type RadosFunctions, type RbdFunctions } from './library.ts';
import type { ConnectRequest } from './protocol.ts';
import type { PoolPlace } from '../seam.ts';

/** A live librados connection inside the broker child. */
export interface Cluster {
  readonly koffi: Koffi;
  readonly rados: RadosFunctions;
  readonly rbd: RbdFunctions;
  readonly handle: Pointer;
}

// No file is read or written by the client: no ceph.conf, no keyring file, no admin socket, no log. A dead mon
// answers ETIMEDOUT within these seconds instead of holding a thread for ever.
const clientSettings: Readonly<Record<string, string>> = {
  keyring: '',
  admin_socket: '',
  log_file: '',
  log_to_stderr: 'false',
  err_to_stderr: 'false',
  log_to_file: 'false',
  client_mount_timeout: '10',
  // The operator asks before its mons listen. Ceph's 3 s, growing to 30, would let new mons wait for nothing.
  // It grows to 3 s all the same: a try that is cut short while a busy mon greets us would never succeed.
  mon_client_hunt_interval: '0.5',
  mon_client_hunt_interval_backoff: '1.2',
  mon_client_hunt_interval_max_multiple: '6',
  rados_mon_op_timeout: '10',
  rados_osd_op_timeout: '10',
  rbd_cache: 'false',
};

export async function connectCluster(
  koffi: Koffi,
  libraries: CephLibraries,
  request: ConnectRequest,
): Promise<Cluster> {
  const rados = bindRados(koffi.load(libraries.rados));
  const rbd = bindRbd(koffi.load(libraries.rbd));
  const out: Pointer[] = [null];
  const made = Number(rados.create2(out, 'ceph', request.user, 0));
  if (made < 0) throw new CodeError(made, 'rados_create2 failed');
  const handle = out[0] ?? null;
  const settings = { ...clientSettings, ...request.settings, mon_host: request.monHost, key: request.key };
  for (const [name, value] of Object.entries(settings)) {
    const code = Number(rados.confSet(handle, name, value));
    // An option that this Ceph does not know is no reason to fail, unless it is one we cannot do without.
    if (code < 0 && (name === 'mon_host' || name === 'key' || name in request.settings))
      throw new CodeError(code, `librados refuses the setting ${name}`);
  }
  await check(rados.connect, handle);
  return { koffi, rados, rbd, handle };
}

/** A command to a mon, the mgr or, by its number, an OSD. `command` is its JSON text. */
export async function runCommand(
  { koffi, rados, handle }: Cluster,
  target: 'mon' | 'mgr' | number,
  command: string,
  input: string | undefined,
): Promise<Buffer> {
  const output: Pointer[] = [null];
  const outputLength = [0];
  const status: Pointer[] = [null];
  const statusLength = [0];
  const inputBytes = input === undefined ? null : Buffer.from(input);
  const [fn, ...to] =
    typeof target === 'number'
      ? ([rados.osdCommand, handle, target] as const)
      : ([target === 'mon' ? rados.monCommand : rados.mgrCommand, handle] as const);
  const code = Number(
    await callAsync<number>(
      fn,
      ...to,
      [command],
      1,
      inputBytes,
      inputBytes?.length ?? 0,
      output,
      outputLength,
      status,
      statusLength,
    ),
  );
  const answer = take(koffi, rados, output[0] ?? null, Number(outputLength[0]));
  const text = take(koffi, rados, status[0] ?? null, Number(statusLength[0])).toString();
  if (code < 0) throw new CodeError(code, text);
  return answer;
}

/** Copies what librados allocated, then gives it back. */
function take(koffi: Koffi, rados: RadosFunctions, pointer: Pointer, length: number): Buffer {
  if (pointer === null) return Buffer.alloc(0);
  const copy = length === 0 ? new Uint8Array() : (koffi.decode(pointer, 'uint8_t', length) as Uint8Array);
  rados.bufferFree(pointer);
  return Buffer.from(copy.buffer, copy.byteOffset, copy.byteLength);
}

/** Runs `body` with an I/O context for the place. CodeError -2 where there is no such pool. */
export async function withPool<T>(
  { rados, handle }: Cluster,
  place: PoolPlace,
  body: (io: Pointer) => Promise<T>,
): Promise<T> {
  const out: Pointer[] = [null];
  const code = Number(await callAsync<number>(rados.ioctxCreate, handle, place.pool, out));
  if (code < 0) throw new CodeError(code, `pool ${place.pool} does not exist`);
  const io = out[0] ?? null;
  try {
    if (place.namespace) rados.ioctxSetNamespace(io, place.namespace);
    return await body(io);
  } finally {
    rados.ioctxDestroy(io);
  }
}

export async function poolId({ rados, handle }: Cluster, pool: string): Promise<number | undefined> {
  await check(rados.waitForLatestOsdmap, handle);
  const id = Number(await callAsync<number | bigint>(rados.poolLookup, handle, pool));
  if (id === -2) return undefined;
  if (id < 0) throw new CodeError(id);
  return id;
}

export async function poolName({ rados, handle }: Cluster, id: number): Promise<string | undefined> {
  await check(rados.waitForLatestOsdmap, handle);
  const name = Buffer.alloc(1024);
  const length = Number(await callAsync<number>(rados.poolReverseLookup, handle, id, name, name.length));
  if (length === -2) return undefined;
  if (length < 0) throw new CodeError(length);
  return name.toString('utf8', 0, name.indexOf(0));
}
