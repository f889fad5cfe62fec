/**
 * Makes an RBD image a block device on this node. Behind it: krbd, rbd-nbd, or qemu-storage-daemon's FUSE
 * export with a loop on top (in the mounter). A device is identified by MAJ:MIN and inode, never by path.
 */
export interface RbdAttacher {
  readonly name: 'krbd' | 'rbd-nbd' | 'qsd';
  /** Why this node cannot use it with these image features, or undefined where it can. */
  unusable(features: readonly string[]): Promise<string | undefined>;
  /** Idempotent: the same image gives the same live device. */
  attach(request: AttachRequest, signal: AbortSignal): Promise<AttachedDevice>;
  /** Idempotent; throws DeviceBusyError while anything holds the device. */
  detach(image: ImageSpec, signal: AbortSignal): Promise<void>;
  /** Lets the device see the image's present size; answers it in bytes. Never shrinks. */
  resize(image: ImageSpec, sizeBytes: bigint, signal: AbortSignal): Promise<bigint>;
  /** Whether an attachment of the image is on record here: a half-made one, and one whose daemon died, too. */
  holds(image: ImageSpec, signal: AbortSignal): Promise<boolean>;
  /** What is attached, dead daemons included. */
  list(signal: AbortSignal): Promise<readonly AttachedDevice[]>;
}

export interface ImageSpec {
  readonly clusterId: string;
  readonly pool: string;
  readonly namespace?: string | undefined;
  readonly image: string;
}

export interface AttachRequest extends ImageSpec {
  readonly monHost: string;
  readonly user: string;
  /** Reaches the daemon by a file of mode 0600 only. */
  readonly key: string;
  readonly readOnly: boolean;
  /** Only the node that holds the image's lock may have it. */
  readonly exclusive?: boolean | undefined;
}

export interface AttachedDevice extends ImageSpec {
  /** /dev/loop3, /dev/nbd0, /dev/rbd0 */
  readonly device: string;
  readonly major: number;
  readonly minor: number;
  /** False where the daemon behind it died. */
  readonly alive: boolean;
}
