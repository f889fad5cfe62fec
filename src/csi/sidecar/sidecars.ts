import type { Manager } from '../../control/manager.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { EventRecorder } from '../../kube/events.ts';
import { attachedVolumes, attacher } from './attacher.ts';
import type { ControllerCalls } from './controller-calls.ts';
import { eventVoice } from './event-voice.ts';
import { provisioner, type SidecarDeps } from './provisioner.ts';
import { resizer } from './resizer.ts';
import { volumeDeleter } from './volume-deleter.ts';

export interface SidecarsOptions {
  /** `rook-ceph.rbd.csi.ceph.com` */
  readonly driver: string;
  /** The driver's own Controller service. */
  readonly controller: ControllerCalls;
  readonly client: KubeClient;
  readonly events: EventRecorder;
  readonly now: () => number;
  readonly random?: () => number;
  /** Secrets of this namespace are watched, so that a claim goes on the moment its missing one appears. */
  readonly secretNamespace?: string;
  /** CephBlockPools of this namespace are watched, so that a claim goes on the moment its pool is there. */
  readonly poolNamespace?: string | undefined;
}

/** Adds what external-provisioner, -attacher and -resizer do for a driver, over the manager's caches. */
export function addCsiSidecars(manager: Manager, options: SidecarsOptions): Manager {
  const { driver, controller, client, now, random, secretNamespace, poolNamespace } = options;
  const deps: SidecarDeps = {
    driver,
    controller,
    client,
    caches: manager.caches,
    events: eventVoice(options.events),
    now,
    random,
    secretNamespace,
    poolNamespace,
  };
  return manager
    .add(provisioner(deps))
    .add(volumeDeleter(deps))
    .add(attacher(deps))
    .add(attachedVolumes(deps))
    .add(resizer(deps));
}
