import { createHash } from 'node:crypto';
import type { Ceph, CephOpener } from '../ceph/seam.ts';
import { cephxEntity } from '../lib/cephx-user.ts';
import { Code, RpcError } from '../lib/grpc.ts';
import type { ClusterConfig, ClusterEntry } from './cluster-config.ts';

/** A CSI request's secrets, as Kubernetes passes them. */
export type Secrets = Readonly<Record<string, string>>;

export interface Credentials {
  readonly user: string;
  readonly key: string;
}

/** The cephx user of a Secret: userID and userKey, or adminID and adminKey of older classes. Never logged. */
export function credentialsOf(secrets: Secrets): Credentials {
  const user = secrets['userID'] ?? secrets['adminID'];
  const key = secrets['userKey'] ?? secrets['adminKey'];
  if (!user || !key) {
    throw new RpcError(
      Code.INVALID_ARGUMENT,
      `the request's secret has no ${user ? 'userKey' : 'userID'}: name one with both by csi.storage.k8s.io/...-secret-name`,
    );
  }
  return { user, key };
}

export interface OpenCluster {
  readonly entry: ClusterEntry;
  readonly ceph: Ceph;
}

export interface Clusters {
  /** Of every cluster that is configured and has monitors. */
  ids(): Promise<readonly string[]>;
  open(clusterId: string, secrets: Secrets): Promise<OpenCluster>;
  close(): Promise<void>;
}

const mostOpen = 32;

/** One connection for each cluster and user, kept: a call costs no connect. */
export function openClusters(config: ClusterConfig, openCeph: CephOpener): Clusters {
  const open = new Map<string, Ceph>();
  return {
    async ids() {
      const entries = await config.all();
      return entries.filter(({ monitors }) => monitors.length > 0).map(({ clusterId }) => clusterId);
    },
    async open(clusterId, secrets) {
      const entry = await config.cluster(clusterId);
      const { user, key } = credentialsOf(secrets);
      const monHost = entry.monitors.join(',');
      // A changed key or a moved mon is another connection; the key itself is in no map.
      const mark = createHash('sha256').update(`${clusterId}\0${user}\0${key}\0${monHost}`).digest('hex');
      let ceph = open.get(mark);
      if (!ceph) {
        ceph = openCeph({ monHost, user: cephxEntity(user), key });
        open.set(mark, ceph);
        const [oldest] = open;
        if (open.size > mostOpen && oldest) {
          open.delete(oldest[0]);
          void oldest[1].close();
        }
      }
      return { entry, ceph };
    },
    async close() {
      await Promise.all([...open.values()].map((ceph) => ceph.close()));
      open.clear();
    },
  };
}
