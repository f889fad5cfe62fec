import { ContentError, type DeviceContent, type Filesystems } from '../filesystems.ts';
import type { MountEntry, Mounts } from '../mounts.ts';

/** Mounts and filesystems of a pretended node; what is on a device and where it is mounted is open to tests. */
export interface FakeHost {
  readonly mounts: Mounts;
  readonly filesystems: Filesystems;
  /** Device path -> what it holds; blank where absent. */
  readonly contents: Map<string, DeviceContent>;
  /** The mount table, oldest first. */
  readonly table: MountEntry[];
  /** Device path -> its numbers, where a test wants others than 7:<number in the name>. */
  readonly numbers: Map<string, { major: number; minor: number }>;
  /** Mount points whose unmount answers `target is busy`. */
  readonly busy: Set<string>;
}

export function fakeHost(): FakeHost {
  const contents = new Map<string, DeviceContent>();
  const numbers = new Map<string, { major: number; minor: number }>();
  const table: MountEntry[] = [];
  const busy = new Set<string>();
  let nextId = 1;
  const numbersOf = (device: string) =>
    numbers.get(device) ?? { major: 7, minor: Number(/\d+$/.exec(device)?.[0] ?? 0) };
  const add = (
    entry: Pick<MountEntry, 'major' | 'minor' | 'root' | 'mountPoint' | 'options' | 'fsType' | 'source'>,
  ) => void table.push({ ...entry, id: nextId++, parentId: 0, propagation: [], superOptions: [] });
  const contentOf = (device: string): DeviceContent => contents.get(device) ?? { kind: 'blank' };
  return {
    contents,
    table,
    numbers,
    busy,
    mounts: {
      list: async () => [...table],
      async mount({ source, target, fsType, options = [] }, signal) {
        signal.throwIfAborted();
        const content = contentOf(source);
        if (content.kind !== 'signature' || content.type !== fsType)
          throw new Error(`mount: wrong fs type on ${source}`);
        add({ ...numbersOf(source), root: '/', mountPoint: target, options, fsType, source });
      },
      async bind({ source, target, readOnly = false }, signal) {
        signal.throwIfAborted();
        const from = table.findLast(
          (entry) => source === entry.mountPoint || source.startsWith(`${entry.mountPoint}/`),
        );
        add({
          ...(from ?? { major: 0, minor: 1, fsType: 'rootfs', source: 'rootfs' }),
          root: from ? source.slice(from.mountPoint.length) || '/' : source,
          mountPoint: target,
          options: readOnly ? ['ro'] : ['rw'],
        });
      },
      async unmount(target, { lazy = false }, signal) {
        signal.throwIfAborted();
        const at = table.findLastIndex((entry) => entry.mountPoint === target);
        if (at < 0) return false;
        if (busy.has(target) && !lazy) throw new Error(`umount: ${target}: target is busy`);
        table.splice(at, 1);
        return true;
      },
    },
    filesystems: {
      probe: async (device) => contentOf(device),
      async ensure(device, type, signal) {
        signal.throwIfAborted();
        const content = contentOf(device);
        if (content.kind === 'signature' && content.type === type) return 'existing';
        if (content.kind !== 'blank') throw new ContentError(device, content, type);
        contents.set(device, { kind: 'signature', type, usage: 'filesystem', uuid: `uuid-of-${device}` });
        return 'made';
      },
      grow: async () => undefined,
    },
  };
}
