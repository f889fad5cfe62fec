import { CephError } from './errors.ts';

/** Linux's errno values that librados, librbd and the mons answer with. */
const errnoByName = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENOTDIR: 20,
  EINVAL: 22,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EDOM: 33,
  ERANGE: 34,
  ENOTEMPTY: 39,
  ENODATA: 61,
  EBADMSG: 74,
  EOVERFLOW: 75,
  EPROTO: 71,
  EOPNOTSUPP: 95,
  ENOTCONN: 107,
  ESHUTDOWN: 108,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EALREADY: 114,
  EINPROGRESS: 115,
  EDQUOT: 122,
  ECANCELED: 125,
} as const;

export type ErrnoName = keyof typeof errnoByName;

const nameByErrno = new Map<number, string>(
  Object.entries(errnoByName).map(([name, number]) => [number, name]),
);

// A time-out, a lost connection, an answer that the mgr does not have yet, and (ESHUTDOWN) a connection that
// was blocklisted: the next broker gets a new address, so the same call may go through.
const retryableNames: ReadonlySet<string> = new Set([
  'ETIMEDOUT',
  'ENOTCONN',
  'ESHUTDOWN',
  'ECONNREFUSED',
  'EAGAIN',
  'EINTR',
]);

/** The symbol of an errno (either sign), such as `ENOENT` for 2 and -2; `E<number>` where it has none here. */
export const errnoName = (errno: number): string => nameByErrno.get(Math.abs(errno)) ?? `E${Math.abs(errno)}`;

/** The error for a librados return code (either sign). */
export function cephErrorFromCode(code: number, operation: string, text: string): CephError {
  const name = errnoName(code);
  return new CephError(Math.abs(code), name, operation, text, retryableNames.has(name));
}

/** The error for a known symbol. */
export const cephError = (name: ErrnoName, operation: string, text: string): CephError =>
  cephErrorFromCode(errnoByName[name], operation, text);
