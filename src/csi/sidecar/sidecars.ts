import type { Manager } from '../../control/manager.ts';
import type { EventRecorder } from '../../kube/events.ts';
import { attachedVolumes, attacher } from './attacher.ts';
import { eventVoice } from './event-voice.ts';
import { provisioner } from './provisioner.ts';
import { resizer } from './resizer.ts';
import type { SidecarDeps } from './sidecar-deps.ts';
import { volumeDeleter } from './volume-deleter.ts';

export interface SidecarsOptions extends Omit<SidecarDeps, 'caches' | 'events'> {
  readonly events: EventRecorder;
}

/** Adds what external-provisioner, -attacher and -resizer do for a driver, over the manager's caches. */
export function addCsiSidecars(manager: Manager, options: SidecarsOptions): Manager {
  const deps: SidecarDeps = { ...options, caches: manager.caches, events: eventVoice(options.events) };
  return manager
    .add(provisioner(deps))
    .add(volumeDeleter(deps))
    .add(attacher(deps))
    .add(attachedVolumes(deps))
    .add(resizer(deps));
}
