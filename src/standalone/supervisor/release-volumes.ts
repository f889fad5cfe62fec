import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../lib/log.ts';
import { mapLimit } from '../../lib/map-limit.ts';
import type { ProcessIdentity } from '../../lib/process-identity.ts';
import { enter } from '../machine/virtual-node.ts';
import { connectDriver, type DriverClient } from '../node/csi/driver-client.ts';
import { placesOf } from '../node/csi/places.ts';
import { publishedEverywhere, stagedEverywhere, type PublishedVolume } from '../node/csi/volume-data.ts';

const kubeletRoot = '/var/lib/kubelet';
const callMs = 15_000;
const unmountMs = 20_000;
const atOnce = 8;

/** The node's file system as the host sees it, through the node's first process. */
const rootOf = (init: ProcessIdentity) => `/proc/${init.pid}/root`;

/** Pods that have, or may have, a CSI volume, by uid. */
export async function volumeUsers(init: ProcessIdentity): Promise<ReadonlySet<string>> {
  const published = await publishedEverywhere(join(rootOf(init), kubeletRoot));
  return new Set(published.map(({ podUid }) => podUid));
}

/**
 * Unpublishes and unstages every CSI volume of a node through its driver, as a drained node would: an image
 * that was let go in order is taken up again at once, while a client that just vanished is waited for. The
 * records stay for the node's next start. What a driver does not take down is unmounted all the same.
 */
export async function releaseVolumes(init: ProcessIdentity, log: Logger, signal: AbortSignal): Promise<void> {
  const kubelet = join(rootOf(init), kubeletRoot);
  const drivers = new Map<string, DriverClient>();
  const driverOf = (name: string) => {
    const known = drivers.get(name) ?? connectDriver(name, `unix://${kubelet}/plugins/${name}/csi.sock`);
    drivers.set(name, known);
    return known;
  };
  const options = { signal, timeoutMs: callMs };
  const each = async <T extends { readonly data: { readonly driverName: string } }>(
    volumes: readonly T[],
    call: (driver: DriverClient, volume: T) => Promise<unknown>,
  ) =>
    await mapLimit(volumes, atOnce, async (volume) => {
      const driver = volume.data.driverName;
      try {
        await access(`${kubelet}/plugins/${driver}/csi.sock`);
        await call(driverOf(driver), volume);
      } catch (err) {
        signal.throwIfAborted();
        log.warn({ err, driver }, 'a volume was not released by its driver');
      }
    });
  try {
    await each(await publishedEverywhere(kubelet), ({ calls }, volume) =>
      calls.nodeUnpublishVolume(
        { volumeId: volume.data.volumeHandle, targetPath: targetOf(volume) },
        options,
      ),
    );
    await each(await stagedEverywhere(kubelet), ({ calls }, { data, stage }) =>
      calls.nodeUnstageVolume(
        { volumeId: data.volumeHandle, stagingTargetPath: stage.slice(rootOf(init).length) },
        options,
      ),
    );
  } finally {
    for (const driver of drivers.values()) driver.close();
  }
  // Deepest first: a pod's bind before the filesystem that it binds.
  const left = await csiMounts(init);
  for (const path of left.toSorted((a, b) => Number(isStaging(a)) - Number(isStaging(b)))) {
    await enter(init, ['/bin/umount', '--', path], { signal, timeoutMs: unmountMs }).catch((err: unknown) =>
      log.warn({ err, path }, 'a volume was not unmounted'),
    );
  }
}

/** As the driver sees it, in the node. */
const targetOf = ({ podUid, pvName, data }: PublishedVolume): string =>
  placesOf(kubeletRoot, {
    driver: data.driverName,
    handle: data.volumeHandle,
    pvName,
    podUid,
    isDevice: data.volumeMode === 'Block',
  }).target;

const isStaging = (path: string) => path.includes('/plugins/kubernetes.io/csi/');

/** Mount points of CSI volumes, staged and published, in the node's own table. */
async function csiMounts(init: ProcessIdentity): Promise<string[]> {
  const table = await readFile(`/proc/${init.pid}/mountinfo`, 'utf8');
  const points = table.split('\n').map((line) => line.split(' ')[4] ?? '');
  return points.filter(
    (point) =>
      /\/volumes\/kubernetes\.io~csi\/[^/]+\/mount$/.test(point) ||
      /\/plugins\/kubernetes\.io\/csi\/.*\/globalmount/.test(point),
  );
}
