import { closeSync, constants, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { z } from 'zod';
import { invalid, isSyscallError, mountSyscalls, type MountSyscalls } from './mount-syscalls.ts';
import { mountAt, parseMountInfo, type MountEntry } from './mounts.ts';

export const RemountRequest = z.object({
  /** Every mount of this device goes. */
  device: z.object({
    major: z.int(),
    minor: z.int(),
    /** The device's use that is meant, where it has a number: nothing happens where it is another one by now. */
    sequence: z.string().optional(),
  }),
  /** Where its filesystem is mounted anew, from another device. */
  source: z.string(),
  /** False as on a kernel before 6.5. */
  under: z.boolean().optional(),
});
export type RemountRequest = z.infer<typeof RemountRequest>;

const Place = z.object({ pid: z.int(), mountPoint: z.string() });
export const RemountReport = z.object({
  replaced: z.array(Place),
  failed: z.array(Place.extend({ error: z.string() })),
});
export type RemountReport = z.infer<typeof RemountReport>;

const maxPasses = 4;
const maxProcesses = 65_536;
const pathOnly = 0o10000000;

/**
 * Puts a filesystem in the place of one whose device is dead: in every mount namespace of the node, at every mount
 * of it, the part and the flags that the dead mount had. So pods get it whether their mounts propagate or not.
 *
 * Each place is changed without a moment in which what lies below shows, where a pod would write into its own
 * container: the new mount goes under the dead one, which is then cut loose. On a kernel that cannot do that
 * it goes over it in pods, and the dead one stays below until the pod ends. In our own namespace, whose mounts
 * reach the node and the other pods of the driver, the dead one is cut loose first there: nothing of a pod's looks at
 * those paths, and a mount over them would share the fate of every other bind of the volume.
 *
 * All of it runs on this thread, at once: call it in a process of its own, which ends afterwards.
 */
export async function remount(request: RemountRequest): Promise<RemountReport> {
  const calls = await mountSyscalls();
  calls.unshareFilesystem();
  const report: RemountReport = { replaced: [], failed: [] };
  const source = openSync(request.source, pathOnly | constants.O_NOFOLLOW);
  // The first dead mount stays pinned to the end: its device's numbers cannot go to another filesystem meanwhile.
  const pin = pinOnce(request);
  for (let pass = 0; pass < maxPasses; pass++) {
    report.failed = [];
    const before = report.replaced.length;
    // Ours comes first: what is shared reaches the others from here.
    for (const namespace of mountNamespaces()) replaceAll(calls, { request, source, pin }, namespace, report);
    // Once more: a container that was made meanwhile has copied what was there.
    if (report.replaced.length === before) break;
  }
  return report;
}

interface Work {
  readonly request: RemountRequest;
  readonly source: number;
  readonly pin: (target: number) => void;
}

/** Keeps the first dead mount from going away, then checks that it is the one that is meant. */
function pinOnce({ device: { major, minor, sequence } }: RemountRequest): (target: number) => void {
  let pinned = false;
  return (target) => {
    if (pinned) return;
    const fd = openSync(`/proc/self/fd/${target}`, pathOnly);
    const now = () => readFileSync(`/sys/dev/block/${major}:${minor}/diskseq`, 'utf8').trim();
    if (sequence !== undefined && now() !== sequence) {
      closeSync(fd);
      throw new Error(`device ${major}:${minor} has another use by now`);
    }
    pinned = true; // Open until this process ends.
  };
}

interface MountNamespace {
  readonly own: boolean;
  /** Processes in it; each may end at any moment. */
  readonly pids: readonly number[];
}

function mountNamespaces(): MountNamespace[] {
  const own = readlinkSync('/proc/self/ns/mnt');
  const found = new Map<string, number[]>([[own, [process.pid]]]);
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  for (const pid of pids.slice(0, maxProcesses)) {
    try {
      const id = readlinkSync(`/proc/${pid}/ns/mnt`);
      if (id !== own) found.set(id, [...(found.get(id) ?? []), Number(pid)]);
    } catch {
      continue; // It ended, or is a zombie.
    }
  }
  return [...found].map(([id, members]) => ({ own: id === own, pids: members }));
}

function replaceAll(
  calls: MountSyscalls,
  { request, source, pin }: Work,
  { own, pids }: MountNamespace,
  report: RemountReport,
): void {
  const found = tableOf(pids);
  if (!found) return;
  const { pid, table } = found;
  const dead = table.filter(
    (entry) =>
      entry.major === request.device.major &&
      entry.minor === request.device.minor &&
      mountAt(table, entry.mountPoint) === entry, // One that is covered was seen to before.
  );
  for (const { mountPoint } of dead) {
    // Looked up anew: what was replaced before may have reached this one, too.
    const entry = mountAt(tableOf([pid])?.table ?? [], mountPoint);
    if (entry?.major !== request.device.major || entry.minor !== request.device.minor) continue;
    try {
      replace(calls, { entry, pid, own, source, pin, under: request.under ?? true });
      report.replaced.push({ pid, mountPoint });
    } catch (error) {
      report.failed.push({ pid, mountPoint, error: error instanceof Error ? error.message : String(error) });
    }
  }
}

/** The mounts as the first of the processes that still runs sees them. */
function tableOf(pids: readonly number[]): { pid: number; table: MountEntry[] } | undefined {
  for (const pid of pids) {
    try {
      return { pid, table: parseMountInfo(readFileSync(`/proc/${pid}/mountinfo`, 'utf8')) };
    } catch {
      continue;
    }
  }
  return undefined;
}

interface Replacement {
  readonly entry: MountEntry;
  readonly pid: number;
  readonly own: boolean;
  readonly source: number;
  readonly pin: (target: number) => void;
  readonly under: boolean;
}

function replace(calls: MountSyscalls, { entry, pid, own, source, pin, under }: Replacement): void {
  const open: number[] = [];
  const keep = (fd: number) => (open.push(fd), fd);
  try {
    const root = keep(openSync(`/proc/${pid}/root`, pathOnly));
    const target = keep(pinMount(calls, root, entry));
    pin(target);
    // A part of the volume is looked for below its root: a link that a pod made there leads nowhere else.
    const part = entry.root === '/' ? source : keep(calls.pinBelow(source, entry.root));
    const tree = keep(calls.cloneMount(part));
    const has = (option: string) => entry.options.includes(option);
    calls.setAttributes(tree, {
      readOnly: has('ro'),
      noSuid: has('nosuid'),
      noDev: has('nodev'),
      noExec: has('noexec'),
    });
    const descriptors = keep(openSync('/proc/self/fd', pathOnly));
    // Not umount by path: the path could lead elsewhere by now, and a pod has a /proc of its own.
    const cutLoose = () => {
      calls.changeDirectory(descriptors);
      calls.detachMount(String(target));
    };
    const home = keep(openSync('/proc/self/ns/mnt', 'r'));
    calls.enterMountNamespace(keep(openSync(`/proc/${pid}/ns/mnt`, 'r')));
    try {
      if (under && attachedUnder(calls, tree, target)) cutLoose();
      else if (own) {
        cutLoose();
        calls.attach(tree, keep(calls.pinBelow(root, entry.mountPoint)), 'over');
      } else {
        calls.makePrivate(target);
        calls.attach(tree, target, 'over');
      }
    } finally {
      calls.enterMountNamespace(home);
    }
  } finally {
    for (const fd of open) closeSync(fd);
  }
}

/** Pins exactly the mount of the entry, whatever a pod did to the path meanwhile. */
function pinMount(calls: MountSyscalls, root: number, entry: MountEntry): number {
  const fd = calls.pinBelow(root, entry.mountPoint);
  const id = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
  if (Number(id) === entry.id) return fd;
  closeSync(fd);
  throw new Error(`${entry.mountPoint} became another mount meanwhile`);
}

/** False where the kernel cannot. */
function attachedUnder(calls: MountSyscalls, tree: number, target: number): boolean {
  try {
    calls.attach(tree, target, 'under');
    return true;
  } catch (error) {
    if (isSyscallError(error, invalid)) return false;
    throw error;
  }
}
