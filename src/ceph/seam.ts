import type { ZodType } from 'zod';

/**
 * The seam to one Ceph cluster as one cephx user. Behind it is the broker (librados in a child) or the
 * fake; one conformance suite holds both to the same behaviour. Every call is idempotent or says how it
 * answers the second time, for a broker that is killed makes calls in flight fail with a retryable error.
 */
export interface Ceph {
  /** A mon command; `shape` checks the JSON answer. Throws CephError with Ceph's errno and text. */
  mon<T>(command: CephCommand, shape: ZodType<T>, options: CephCallOptions): Promise<T>;
  /** The same to the active mgr. */
  mgr<T>(command: CephCommand, shape: ZodType<T>, options: CephCallOptions): Promise<T>;
  /** The same to one OSD (`ceph tell osd.N`); its user needs caps for it. ENXIO while it is down, ENOENT where there is none. */
  osd<T>(id: number, command: CephCommand, shape: ZodType<T>, options: CephCallOptions): Promise<T>;
  readonly rbd: Rbd;
  readonly objects: RadosObjects;
  /** Pool id by name, undefined where there is none (answered from the OSD map, no mgr needed). */
  poolId(pool: string, options: CephCallOptions): Promise<number | undefined>;
  poolName(id: number, options: CephCallOptions): Promise<string | undefined>;
  close(): Promise<void>;
}

export interface CephCallOptions {
  readonly signal: AbortSignal;
  /** 15 s where not said. */
  readonly timeoutMs?: number;
  /** The command's input buffer, for `osd new`, `auth import`, `config-key set` and the like. */
  readonly input?: string;
  /** `base64` for answers that are no text, such as `mon getmap`: the shape then sees base64. */
  readonly answer?: 'text' | 'base64';
}

/** `prefix` and its arguments, as `ceph --verbose` shows them; `format: json` is added. */
export type CephCommand = { readonly prefix: string } & Readonly<
  Record<string, string | number | boolean | readonly string[] | undefined>
>;

/** Where an object or image lives. `namespace` is a RADOS namespace; empty means the default one. */
export interface PoolPlace {
  readonly pool: string;
  readonly namespace?: string | undefined;
}

/** Objects and their omaps: what the CSI journal needs. */
export interface RadosObjects {
  /** Makes the object; EEXIST where it is there already. */
  createExclusive(place: PoolPlace, object: string, options: CephCallOptions): Promise<void>;
  /** An absent object is no error: false. */
  remove(place: PoolPlace, object: string, options: CephCallOptions): Promise<boolean>;
  /** The named keys that exist; an absent object gives an empty map. */
  omapGet(
    place: PoolPlace,
    object: string,
    keys: readonly string[],
    options: CephCallOptions,
  ): Promise<Map<string, string>>;
  /** All keys, paged inside, at most `limit` (10,000 where not said). */
  omapList(
    place: PoolPlace,
    object: string,
    options: CephCallOptions & { readonly limit?: number; readonly after?: string },
  ): Promise<Map<string, string>>;
  /** Sets keys in one operation, making the object where it is absent. */
  omapSet(
    place: PoolPlace,
    object: string,
    values: ReadonlyMap<string, string>,
    options: CephCallOptions,
  ): Promise<void>;
  omapRemove(
    place: PoolPlace,
    object: string,
    keys: readonly string[],
    options: CephCallOptions,
  ): Promise<void>;
  /** cls_lock, exclusive. EBUSY where another holder has it, EEXIST where this very cookie has it. */
  lock(place: PoolPlace, object: string, lock: ObjectLock, options: CephCallOptions): Promise<void>;
  /** ENOENT where that holder does not have it. */
  unlock(
    place: PoolPlace,
    object: string,
    lock: Pick<ObjectLock, 'name' | 'cookie'>,
    options: CephCallOptions,
  ): Promise<void>;
  breakLock(
    place: PoolPlace,
    object: string,
    lockName: string,
    holder: LockHolder,
    options: CephCallOptions,
  ): Promise<void>;
  lockHolders(
    place: PoolPlace,
    object: string,
    lockName: string,
    options: CephCallOptions,
  ): Promise<readonly LockHolder[]>;
}

export interface ObjectLock {
  readonly name: string;
  readonly cookie: string;
  readonly description: string;
}

export interface LockHolder {
  /** `client.4123` */
  readonly client: string;
  readonly cookie: string;
  readonly address: string;
}

export interface RbdCreateOptions {
  readonly sizeBytes: bigint;
  /** `layering`, `exclusive-lock`, `object-map`, `fast-diff`, `deep-flatten`, `journaling`. */
  readonly features: readonly string[];
  readonly dataPool?: string | undefined;
  readonly objectSizeBytes?: number | undefined;
  readonly stripeUnitBytes?: number | undefined;
  readonly stripeCount?: number | undefined;
}

export interface RbdImageInfo {
  readonly id: string;
  readonly sizeBytes: bigint;
  readonly features: readonly string[];
  readonly objectSizeBytes: number;
}

export interface RbdWatcher {
  /** `1.2.3.4:0/123` */
  readonly address: string;
  readonly client: string;
}

export interface Rbd {
  /** EEXIST where an image of that name is there; ENOENT without the pool, or the RBD namespace. */
  create(place: PoolPlace, image: string, create: RbdCreateOptions, options: CephCallOptions): Promise<void>;
  /** Undefined where there is none. */
  info(place: PoolPlace, image: string, options: CephCallOptions): Promise<RbdImageInfo | undefined>;
  list(
    place: PoolPlace,
    options: CephCallOptions,
  ): Promise<readonly { readonly id: string; readonly name: string }[]>;
  /** EBUSY while watched, ENOTEMPTY while it has snapshots; an absent image is no error: false. */
  remove(place: PoolPlace, image: string, options: CephCallOptions): Promise<boolean>;
  /** Grows only: EINVAL for a smaller size, since what lies beyond the new end would be gone. */
  resize(place: PoolPlace, image: string, sizeBytes: bigint, options: CephCallOptions): Promise<void>;
  watchers(place: PoolPlace, image: string, options: CephCallOptions): Promise<readonly RbdWatcher[]>;
  metadataGet(
    place: PoolPlace,
    image: string,
    key: string,
    options: CephCallOptions,
  ): Promise<string | undefined>;
  metadataSet(
    place: PoolPlace,
    image: string,
    key: string,
    value: string,
    options: CephCallOptions,
  ): Promise<void>;
  /** Makes the place's namespace one for images (`rbd namespace create`); one that is there is no error. */
  createNamespace(place: PoolPlace, options: CephCallOptions): Promise<void>;
  /** Initialises a pool for RBD use (`rbd pool init`). */
  initPool(place: PoolPlace, options: CephCallOptions): Promise<void>;
  trashMove(
    place: PoolPlace,
    image: string,
    delaySeconds: number,
    options: CephCallOptions,
  ): Promise<boolean>;
  /** EPERM while the delay given to trashMove lasts; an absent id is no error: false. */
  trashRemove(place: PoolPlace, id: string, options: CephCallOptions): Promise<boolean>;
  trashList(
    place: PoolPlace,
    options: CephCallOptions,
  ): Promise<readonly { readonly id: string; readonly name: string }[]>;
}

/** How to reach a cluster. Keys come from files of mode 0600 or memory, never from argv or environment. */
export interface CephConnection {
  /** `[v2:10.96.0.5:3300,v1:10.96.0.5:6789],...`, or plain `host:port` entries. */
  readonly monHost: string;
  /** `client.admin` or any cephx entity. */
  readonly user: string;
  readonly key: string;
  readonly fsid?: string | undefined;
  /** Extra ceph.conf settings. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Opens one broker; connects lazily, reconnects after the child died. */
export type CephOpener = (connection: CephConnection) => Ceph;
