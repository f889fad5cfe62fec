import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '../../lib/run-command.ts';

export interface OsdToFormat {
  readonly device: string;
  readonly id: number;
  readonly uuid: string;
  /** Goes to ceph-osd by stdin, and from there into the device’s label. */
  readonly key: string;
  readonly fsid: string;
}

export type OsdFormatter = (
  osd: OsdToFormat,
  options: { readonly signal: AbortSignal; readonly timeoutMs: number },
) => Promise<void>;

/**
 * Makes a BlueStore OSD on a blank device. `--no-mon-config`: it needs no mon, so it runs beside their
 * start. All that an OSD is known by (number, fsid, key) ends up in the label.
 */
export const formatOsd: OsdFormatter = async (osd, { signal, timeoutMs }) => {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-osd-'));
  try {
    const data = join(dir, `ceph-${osd.id}`);
    await mkdir(data, { mode: 0o750 });
    await symlink(osd.device, join(data, 'block'));
    await runCommand(
      'ceph-osd',
      [
        '--mkfs',
        '--conf=/dev/null',
        `--id=${osd.id}`,
        `--fsid=${osd.fsid}`,
        `--osd-uuid=${osd.uuid}`,
        `--osd-data=${data}`,
        '--osd-objectstore=bluestore',
        '--no-mon-config',
        '--keyfile=-',
        '--log-to-file=false',
        '--log-to-stderr=true',
        // The whole device is the OSD’s: no log or database file beside it.
        '--bluestore-block-wal-create=false',
        '--bluestore-block-db-create=false',
        // Each close of the device waits out one poll of its thread, and mkfs closes it eight times: with
        // Ceph's 250 ms that is 1.7 of the 2.2 s it takes.
        '--bdev-aio-poll-ms=10',
      ],
      { signal, timeoutMs, input: osd.key },
    );
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
};
