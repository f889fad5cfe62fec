import type { AttachedDevice, AttachRequest, RbdAttacher } from '../attacher.ts';
import { DeviceBusyError } from '../device-busy.ts';
import { imageKey } from '../image-key.ts';

export interface FakeAttachment extends AttachedDevice {
  alive: boolean;
  sizeBytes: bigint;
  /** What holds the device; detach is refused while it is set. */
  heldBy: string | undefined;
  readonly request: AttachRequest;
}

/** A node's attacher with state: devices by image, held ones refused, daemons that a test lets die. */
export interface FakeAttacher extends RbdAttacher {
  /** By `imageKey`. */
  readonly attachments: Map<string, FakeAttachment>;
  /** What `unusable` answers. */
  refusal: string | undefined;
  /** What the next call of that name throws. */
  failNext(call: 'attach' | 'detach' | 'resize', error: Error): void;
}

/** What a real attacher answers: no size, and never the request, with the key in it. */
const deviceOf = ({ sizeBytes: _s, heldBy: _h, request: _r, ...device }: FakeAttachment): AttachedDevice =>
  device;

export function fakeAttacher(name: RbdAttacher['name'] = 'qsd', sizeBytes = 1024n ** 3n): FakeAttacher {
  const attachments = new Map<string, FakeAttachment>();
  const failures = new Map<string, Error>();
  let nextMinor = 0;
  const enter = (call: string, signal: AbortSignal) => {
    signal.throwIfAborted();
    const error = failures.get(call);
    failures.delete(call);
    if (error) throw error;
  };
  const fake: FakeAttacher = {
    name,
    attachments,
    refusal: undefined,
    failNext: (call, error) => void failures.set(call, error),
    unusable: async () => fake.refusal,
    async attach(request, signal) {
      enter('attach', signal);
      const existing = attachments.get(imageKey(request));
      if (existing?.alive) return deviceOf(existing);
      const minor = nextMinor++;
      const made: FakeAttachment = {
        clusterId: request.clusterId,
        pool: request.pool,
        ...(request.namespace === undefined ? {} : { namespace: request.namespace }),
        image: request.image,
        device: `/dev/loop${minor}`,
        major: 7,
        minor,
        alive: true,
        sizeBytes,
        heldBy: undefined,
        request,
      };
      attachments.set(imageKey(request), made);
      return deviceOf(made);
    },
    async detach(image, signal) {
      enter('detach', signal);
      const existing = attachments.get(imageKey(image));
      if (existing?.heldBy !== undefined) throw new DeviceBusyError(existing.device, existing.heldBy);
      attachments.delete(imageKey(image));
    },
    async resize(image, wanted, signal) {
      enter('resize', signal);
      const existing = attachments.get(imageKey(image));
      if (!existing) throw new Error(`${image.image} is not attached`);
      if (wanted > existing.sizeBytes) existing.sizeBytes = wanted;
      return existing.sizeBytes;
    },
    holds: async (image) => attachments.has(imageKey(image)),
    list: async () => [...attachments.values()].map(deviceOf),
  };
  return fake;
}
