import { posix } from 'node:path';
import { Code, RpcError } from '../../lib/grpc.ts';
import { needField } from '../need-field.ts';

/** A path that kubelet gave: absolute, without .., and below kubelet's own folder. */
export function checkNodePath(field: string, path: string, kubeletRoot: string): string {
  needField(field, path);
  const clean = posix.normalize(path).replace(/(.)\/$/, '$1');
  const isPlain = posix.isAbsolute(path) && !path.split('/').includes('..') && !path.includes('\0');
  if (!isPlain || !clean.startsWith(`${kubeletRoot}/`)) {
    throw new RpcError(
      Code.INVALID_ARGUMENT,
      `${field} ${JSON.stringify(path)} is not a path below ${kubeletRoot}`,
    );
  }
  return clean;
}
