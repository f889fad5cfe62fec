import type { CacheSet } from '../../kube/cache-set.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { ControllerService } from '../controller.ts';
import type { EventVoice } from './event-voice.ts';

/** What each of the sidecars' controllers is made of. */
export interface SidecarDeps {
  /** `rook-ceph.rbd.csi.ceph.com` */
  readonly driver: string;
  /** The driver's own Controller service. */
  readonly controller: ControllerService;
  readonly client: KubeClient;
  readonly caches: CacheSet;
  readonly events: EventVoice;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Secrets of this namespace are watched, so that a claim goes on the moment its missing one appears. */
  readonly secretNamespace: string;
  /** CephBlockPools of this namespace are watched, so that a claim goes on the moment its pool is there. */
  readonly poolNamespace?: string | undefined;
}
