import { ConfigMaps, CSIDrivers, DaemonSets, Deployments } from '../../api/core.ts';
import type { Ceph } from '../../ceph/seam.ts';
import type { ClusterWork } from '../ceph-cluster/work.ts';
import { operatorConfigName, readSettings } from '../settings.ts';
import { ensureCsiConfig } from './cluster-config.ts';
import { rbdDriver } from './names.ts';
import { ensureCsiUsers } from './users.ts';
import { csiDriver, mounterDaemonSet, pluginDaemonSet, provisionerDeployment } from './workloads.ts';

/** Everything that volumes of a connected cluster need. Idempotent; an unchanged cluster costs no write. */
export async function ensureCsi(work: ClusterWork, ceph: Ceph, monHost: string): Promise<void> {
  const { objects, signal, operatorNamespace } = work;
  const config = await objects.get(
    ConfigMaps,
    { namespace: operatorNamespace, name: operatorConfigName },
    signal,
  );
  const settings = readSettings(config);
  await Promise.all([ensureCsiUsers(work, ceph), ensureCsiConfig(work, monHost)]);
  if (!settings.enableRbd) return;
  const plan = {
    namespace: operatorNamespace,
    driver: rbdDriver(operatorNamespace, settings.csiDriverPrefix),
    // The operator's own build: a new one rolls the driver, which holds no mount.
    image: work.images.own?.name ?? work.images.holdfast,
    settings,
  };
  await Promise.all([
    objects.ensure(CSIDrivers, csiDriver(plan), signal),
    objects.ensure(Deployments, provisionerDeployment(plan), signal),
    objects.ensure(DaemonSets, pluginDaemonSet(plan), signal),
    objects.ensure(DaemonSets, mounterDaemonSet(plan), signal),
  ]);
}
