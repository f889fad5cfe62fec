import { ensureEntity } from '../../ceph/auth.ts';
import type { Ceph } from '../../ceph/seam.ts';
import { Secrets } from '../../api/core.ts';
import { encoded } from '../ceph-cluster/identity.ts';
import type { ClusterWork } from '../ceph-cluster/work.ts';

/** The cephx users of RBD volumes, with Rook’s caps, and the Secrets that StorageClasses name. */
const users = [
  {
    id: 'csi-rbd-provisioner',
    secret: 'rook-csi-rbd-provisioner',
    caps: { mon: "profile rbd, allow command 'osd blocklist'", mgr: 'allow rw', osd: 'profile rbd' },
  },
  {
    id: 'csi-rbd-node',
    secret: 'rook-csi-rbd-node',
    caps: { mon: 'profile rbd', mgr: 'allow rw', osd: 'profile rbd' },
  },
] as const;

export async function ensureCsiUsers(work: ClusterWork, ceph: Ceph): Promise<void> {
  if (work.cluster.spec.csi?.skipUserCreation) return;
  await Promise.all(
    users.map(async (user) => {
      const { key } = await ensureEntity(ceph, `client.${user.id}`, user.caps, work.signal);
      await work.objects.ensure(
        Secrets,
        {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { name: user.secret, namespace: work.namespace, ownerReferences: [work.owner] },
          type: 'kubernetes.io/rook',
          data: encoded({ userID: user.id, userKey: key }),
        },
        work.signal,
      );
    }),
  );
}
