import type { KubeClient } from '../../kube/client.ts';
import type { EventRecorder } from '../../kube/events.ts';
import type { Clock } from '../../lib/clock.ts';
import type { CephLinks } from '../ceph-cluster/link.ts';
import type { OwnedObjects } from '../objects.ts';

export interface BlockPoolDeps {
  readonly kube: KubeClient;
  readonly objects: OwnedObjects;
  readonly links: CephLinks;
  readonly operatorNamespace: string;
  /** What the operator itself was started from, where it knows. */
  readonly ownImage: string | undefined;
  readonly events: EventRecorder;
  readonly clock: Clock;
}
