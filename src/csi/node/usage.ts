import { stat, statfs } from 'node:fs/promises';
import { VolumeUsage_Unit } from '../../gen/csi/v1/csi_pb.js';
import { blockSize } from '../../host/loops.ts';
import { mountAt, type Mounts } from '../../host/mounts.ts';
import { Code, RpcError } from '../../lib/grpc.ts';

/** How full a volume is: bytes and inodes of a filesystem, the size of a device. NotFound where the path is none. */
export async function volumeUsage(volumePath: string, mounts: Mounts) {
  const there = await stat(volumePath).catch((cause: unknown) => {
    throw new RpcError(Code.NOT_FOUND, `${volumePath} is not there`, { cause });
  });
  if (!mountAt(await mounts.list(), volumePath))
    throw new RpcError(Code.NOT_FOUND, `${volumePath} is no volume`);
  if (there.isBlockDevice())
    return { usage: [{ unit: VolumeUsage_Unit.BYTES, total: await blockSize(volumePath) }] };
  const fs = await statfs(volumePath, { bigint: true });
  return {
    usage: [
      {
        unit: VolumeUsage_Unit.BYTES,
        total: fs.blocks * fs.bsize,
        available: fs.bavail * fs.bsize,
        used: (fs.blocks - fs.bfree) * fs.bsize,
      },
      { unit: VolumeUsage_Unit.INODES, total: fs.files, available: fs.ffree, used: fs.files - fs.ffree },
    ],
  };
}
