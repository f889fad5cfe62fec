import { readFile, stat } from 'node:fs/promises';
import { z } from 'zod';
import { Code, RpcError } from '../lib/grpc.ts';

/** One Ceph cluster, as the ConfigMap `rook-ceph-csi-config` names it. */
export interface ClusterEntry {
  readonly clusterId: string;
  /** `host:port` each. */
  readonly monitors: readonly string[];
  /** The Kubernetes namespace that the cluster's own Secrets are in. */
  readonly namespace?: string | undefined;
  /** RADOS namespace of its RBD images; absent means the default one. */
  readonly radosNamespace?: string | undefined;
}

export interface ClusterConfig {
  /** Throws RpcError InvalidArgument for an unknown id, naming those that there are. */
  cluster(clusterId: string): Promise<ClusterEntry>;
  all(): Promise<readonly ClusterEntry[]>;
}

// Read leniently: newer ceph-csi keys (readAffinity, cephFS, nfs) are none of our business here.
const Entries = z.array(
  z.object({
    clusterID: z.string().min(1),
    monitors: z.array(z.string().min(1)),
    namespace: z.string().optional(),
    radosNamespace: z.string().optional(),
    rbd: z.object({ radosNamespace: z.string().optional() }).optional(),
  }),
);

/**
 * Reads the mounted file `path`, and again whenever it changed: kubelet swaps a ConfigMap's files under a
 * symlink, so inode, time and size are compared at each look instead of trusting a watch on a folder.
 */
export function clusterConfigFile(path: string): ClusterConfig {
  let seen = '';
  let entries: readonly ClusterEntry[] = [];

  const load = async () => {
    const found = await stat(path, { bigint: true }).catch((cause: unknown) => {
      throw new RpcError(Code.UNAVAILABLE, `the cluster list ${path} cannot be read`, { cause });
    });
    const mark = `${found.ino}/${found.mtimeNs}/${found.size}`;
    if (mark === seen) return entries;
    entries = parseClusterConfig(await readFile(path, 'utf8'), path);
    seen = mark;
    return entries;
  };

  return {
    all: load,
    async cluster(clusterId) {
      const known = await load();
      const entry = known.find((candidate) => candidate.clusterId === clusterId);
      if (entry && entry.monitors.length > 0) return entry;
      if (entry)
        throw new RpcError(
          Code.UNAVAILABLE,
          `cluster ${JSON.stringify(clusterId)} has no monitors yet: it is still coming up`,
        );
      const names = known.map((each) => JSON.stringify(each.clusterId)).join(', ') || 'none at all';
      throw new RpcError(
        Code.INVALID_ARGUMENT,
        `clusterID ${JSON.stringify(clusterId)} is unknown; configured: ${names}`,
      );
    },
  };
}

/** Throws RpcError Unavailable where the text is no list of clusters. */
export function parseClusterConfig(text: string, source: string): readonly ClusterEntry[] {
  let json: unknown;
  try {
    json = JSON.parse(text.trim() === '' ? '[]' : text);
  } catch (cause) {
    throw new RpcError(Code.UNAVAILABLE, `the cluster list ${source} is no JSON`, { cause });
  }
  const parsed = Entries.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new RpcError(
      Code.UNAVAILABLE,
      `the cluster list ${source} is malformed at ${issue?.path.join('.')}: ${issue?.message}`,
    );
  }
  return parsed.data.map((entry) => ({
    clusterId: entry.clusterID,
    monitors: entry.monitors,
    namespace: entry.namespace,
    radosNamespace: entry.rbd?.radosNamespace || entry.radosNamespace || undefined,
  }));
}
