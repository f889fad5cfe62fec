import type { Clock } from '../../../lib/clock.ts';
import { noEscalation } from '../auth/escalation.ts';
import type { Rbac } from '../auth/rbac.ts';
import type { KindTable } from '../registry/kind-table.ts';
import type { AdmissionPlugin } from '../registry/request.ts';
import type { WatchCache } from '../registry/watch-cache.ts';
import { clusterIpAllocator, serviceRange } from './cluster-ip.ts';
import { customDefinitions } from './custom-definition.ts';
import { initialStatus } from './initial-status.ts';
import { namespaceLifecycle } from './namespace-lifecycle.ts';
import { defaultTolerations, priorityAdmission } from './pod-defaults.ts';
import { serviceAccountAdmission } from './service-account.ts';
import { claimResize, defaultStorageClass, storageInUseProtection } from './storage.ts';
import { unserved } from './unserved.ts';

export interface PluginDeps {
  readonly cache: WatchCache;
  readonly kinds: KindTable;
  readonly clock: Clock;
  readonly random: () => number;
  readonly serviceCidr: string;
  readonly rbac: Rbac;
}

/** All admission, in the order in which it changes objects. */
export function admissionPlugins({
  cache,
  kinds,
  clock,
  random,
  serviceCidr,
  rbac,
}: PluginDeps): AdmissionPlugin[] {
  return [
    namespaceLifecycle(cache),
    serviceAccountAdmission(cache, clock, random),
    priorityAdmission(cache),
    defaultTolerations,
    defaultStorageClass(cache),
    storageInUseProtection,
    claimResize(cache),
    clusterIpAllocator(cache, serviceRange(serviceCidr), random),
    customDefinitions(kinds, () => clock.now()),
    initialStatus,
    noEscalation(rbac),
    unserved,
  ];
}
