/**
 * Which image name stands for what on this machine: decided once, recorded with its digest, sticky. A
 * changed resolution never changes a running daemon's version.
 */
export interface ImageTable {
  readonly entries: readonly ImageEntry[];
}

export interface ImageEntry {
  /** As a pod's spec has it, normalised: `docker.io/library/busybox:latest`, `docker.io/rook/ceph:*` (any tag). */
  readonly name: string;
  /** The containerd image that was imported for it (a skeleton layer; the rest comes by mounts). */
  readonly image: string;
  readonly digest: string;
  /** Read-only binds, paths of the node, that make the skeleton whole. */
  readonly mounts: readonly { readonly hostPath: string; readonly containerPath: string }[];
  /** Environment, entrypoint and command that the image's config would have. */
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
}
