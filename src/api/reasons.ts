/**
 * Every reason that a condition, a wait or a disk's verdict can carry, with what it means. A reason is
 * never renamed: scripts match on it. Those that Rook has are spelled as Rook's.
 */
export const reasons = {
  // A cluster or pool as a whole.
  ReconcileStarted: 'The operator works on it.',
  ReconcileSucceeded: 'What is, is what was asked for.',
  ReconcileFailed: 'A step failed and is tried again.',
  ClusterCreated: 'The cluster is there, and a write went through it.',
  ClusterConnecting: 'The monitors are not reached yet.',
  ClusterConnected: 'The monitors answer.',
  ClusterProgressing: 'The cluster is being brought up or changed.',
  ClusterDeleting: 'The cluster is being deleted.',
  SpecInvalid: 'Fields of the spec are wrong; the message has each with what would be right.',
  FieldsNotHonoured: 'Fields of the spec that this release does not act on; the message names them.',
  AllFieldsHonoured: 'Every field of the spec is acted on.',
  RookOperatorActive: 'A live Rook operator owns these resources, so nothing is touched.',
  ObjectHasDependents: 'Other resources still need it; the message names them.',
  ObjectHasNoDependents: 'Nothing needs it any more.',
  LeftoverData: 'A node holds data of another cluster where this one wants to keep its own.',
  DoNotReconcile: 'The label ceph.rook.io/do-not-reconcile is set.',
  // Waits of a cluster.
  FormerObjectsLeaving: 'Objects of an earlier cluster of this name are still being removed.',
  OperatorStopped: 'No operator runs that watches it; what its status says is from before.',
  NodesMissing: 'There are fewer usable nodes than the spec needs.',
  VersionUnknown: 'The Ceph version in the image is being looked up.',
  VersionUnsupported: 'The Ceph version in the image is not supported.',
  MonPodsStarting: 'Pods of monitors are not running yet.',
  MonsUnreachable: 'No monitor answers.',
  MonsNotInQuorum: 'Monitors are running but not in quorum.',
  MgrUnavailable: 'No manager is active.',
  OsdsPreparing: 'Disks are being looked at and prepared.',
  OsdsStarting: 'OSDs are not up yet.',
  NoDisks: 'No disk became an OSD; the verdicts say why.',
  WriteNotProven: 'No write went through yet.',
  ClusterNotReady: 'The Ceph cluster is not ready for this.',
  // Pools.
  PoolCreated: 'The pool is there as asked for.',
  PoolNotEmpty: 'Images are in the pool.',
  TooFewFailureDomains: 'There are fewer failure domains than copies.',
  PgsNotClean: 'Placement groups are not active and clean yet.',
  UnsafeReplicaSize: 'One copy was asked for without saying requireSafeReplicaSize: false.',
  DeviceClassMissing: 'No OSD has the device class.',
  // Verdicts on disks.
  OsdRunning: 'An OSD of this cluster is on it.',
  OsdPrepared: 'It was prepared; its OSD starts.',
  AwaitingId: 'It waits for an OSD number.',
  FormattingOsd: 'The OSD is being made on it.',
  FormatFailed: 'Making the OSD failed.',
  NotSelected: 'The storage spec does not select it.',
  HasPartitions: 'It has partitions.',
  HasFilesystem: 'It has a filesystem or another signature.',
  Mounted: 'It is mounted or held by another device.',
  OtherCluster: 'It belongs to another Ceph cluster.',
  TooSmall: 'It is smaller than an OSD can be.',
  ReadOnly: 'It is read-only.',
  Unreadable: 'It cannot be read.',
  DeviceMissing: 'The spec names it, but the node has no such device.',
  Unsupported: 'A device of this type cannot hold an OSD.',
} as const;

export type Reason = keyof typeof reasons;
