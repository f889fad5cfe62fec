import { setDeviceClass } from '../../ceph/crush.ts';
import { isCephError } from '../../ceph/errors.ts';
import { purgeOsd, registerOsd, type Osd } from '../../ceph/osd.ts';
import type { Ceph } from '../../ceph/seam.ts';
import type { DiskReport } from '../osd/report.ts';
import { handedOutKeys } from './osd-prepare-job.ts';
import type { ClusterWork } from './work.ts';

/**
 * Tells Ceph of an OSD that got its number from us; what is wrong, or undefined where it is known now. One
 * that could not be made is taken out again: it never ran, so nothing is in it.
 */
export async function settleOsd(
  work: ClusterWork,
  hostname: string,
  ceph: Ceph,
  known: readonly Osd[],
  disk: DiskReport & { readonly osdUuid: string },
  id: number,
): Promise<string | undefined> {
  const there = known.find((osd) => osd.uuid === disk.osdUuid);
  if (disk.verdict === 'Failed') {
    if (there?.id === id && there.isNew && !there.up) await purgeOsd(ceph, id, work.signal);
    return undefined;
  }
  if (there)
    return there.id === id ? undefined : `Ceph knows this OSD as osd.${there.id}, its label says osd.${id}`;
  const key = (await handedOutKeys(work, hostname)).get(disk.osdUuid);
  if (key === undefined)
    return `osd.${id} is on the disk, but Ceph does not know it and its key is not at hand; was it purged?`;
  try {
    await registerOsd(ceph, { uuid: disk.osdUuid, key, id }, work.signal);
    if (disk.deviceClass) await setDeviceClass(ceph, [id], disk.deviceClass, work.signal);
    return undefined;
  } catch (error) {
    if (isCephError(error, 'EEXIST')) return `osd.${id} is another OSD already: ${error.text}`;
    throw error;
  }
}
