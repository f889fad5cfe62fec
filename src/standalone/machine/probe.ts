import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { findHierarchies, type Hierarchy } from '../../lib/cgroup-hierarchies.ts';
import { pathExists } from '../../lib/path-exists.ts';

/** One thing that standalone mode stands on, with why where it is not there. */
export interface Finding {
  /** `overlay`, `loop`, `cgroups`: one word for logs and tests. */
  readonly name: string;
  /** `missing` stops `up`; `weaker` lets it go on with less protection, and is said. */
  readonly verdict: 'ok' | 'weaker' | 'missing';
  /** A sentence for a person: what is lacking, and what to do. */
  readonly reason: string;
}

export interface Machine {
  /** `v1` where controllers are mounted one by one, with or without the unified hierarchy beside them. */
  readonly cgroups: 'v1' | 'v2' | 'none';
  readonly systemd: boolean;
  readonly findings: readonly Finding[];
}

export interface ProbeOptions {
  /** `/` but in tests. */
  readonly root?: string;
  readonly uid: number | undefined;
  /** Whether the kernel takes a device program; asked for where v1's devices hierarchy is not mounted. */
  readonly canLoadDeviceProgram: () => Promise<boolean>;
}

const ok = (name: string): Finding => ({ name, verdict: 'ok', reason: '' });
const missing = (name: string, reason: string): Finding => ({ name, verdict: 'missing', reason });
const weaker = (name: string, reason: string): Finding => ({ name, verdict: 'weaker', reason });

const namespaces = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'uts'];
// Without one of these runc starts no container or no limit of a pod is kept.
const neededControllers = ['cpu', 'cpuset', 'memory', 'pids'];

/**
 * What this kernel and host can do, looked up and never assumed, so that `up` refuses before it has started
 * anything. Nothing on the machine is changed, and no module is loaded.
 */
export async function probeMachine({
  root = '/',
  uid,
  canLoadDeviceProgram,
}: ProbeOptions): Promise<Machine> {
  const at = (path: string) => join(root, path);
  const read = (path: string) => readFile(at(path), 'utf8').catch(() => '');
  const exists = (path: string) => pathExists(at(path));
  const hierarchies = await findHierarchies(await read('proc/self/mountinfo'));
  const layout = layoutOf(hierarchies);
  const systemd = (await read('proc/1/comm')).trim() === 'systemd';
  const filesystems = (await read('proc/filesystems')).split('\n').map((line) => line.split('\t').at(-1));
  const kernel = (await read('proc/sys/kernel/osrelease')).trim();
  const modules =
    (await read(`lib/modules/${kernel}/modules.builtin`)) + (await read(`lib/modules/${kernel}/modules.dep`));
  const canLoad = (module: string) => modules.includes(`/${module}.ko`);
  const ownNamespaces = await readdir(at('proc/self/ns')).catch((): string[] => []);

  const filesystem = (name: string, purpose: string) =>
    filesystems.includes(name) || canLoad(name)
      ? ok(name)
      : missing(name, `this kernel has no ${name}, which ${purpose}: use one of Debian's own kernels`);
  const absent = namespaces.filter((name) => !ownNamespaces.includes(name));
  return {
    cgroups: layout,
    systemd,
    findings: [
      uid === 0 ? ok('root') : missing('root', 'standalone mode needs root: run it as root, or with sudo'),
      absent.length === 0
        ? ok('namespaces')
        : missing('namespaces', `this kernel lacks the namespaces ${absent.join(', ')}`),
      filesystem('overlay', "a node's root and its containers are made of"),
      filesystem('fuse', 'volumes are attached through'),
      (await exists('dev/loop-control')) || canLoad('loop')
        ? ok('loop')
        : missing(
            'loop',
            'there is no /dev/loop-control, and disks of nodes are loop devices: modprobe loop',
          ),
      await cgroupFinding(layout, hierarchies, read),
      await deviceFinding(hierarchies, uid === 0 ? canLoadDeviceProgram : undefined),
    ],
  };
}

function layoutOf(hierarchies: readonly Hierarchy[]): Machine['cgroups'] {
  if (hierarchies.length === 0) return 'none';
  return hierarchies.some((one) => one.controllers !== '') ? 'v1' : 'v2';
}

async function cgroupFinding(
  layout: Machine['cgroups'],
  hierarchies: readonly Hierarchy[],
  read: (path: string) => Promise<string>,
): Promise<Finding> {
  if (layout === 'none') return missing('cgroups', 'no cgroup hierarchy is mounted below /sys/fs/cgroup');
  const there =
    layout === 'v1'
      ? hierarchies.flatMap((one) => one.controllers.split(','))
      : (await read('sys/fs/cgroup/cgroup.controllers')).trim().split(' ');
  const absent = neededControllers.filter((name) => !there.includes(name));
  return absent.length === 0
    ? ok('cgroups')
    : missing(
        'cgroups',
        `the cgroup controllers ${absent.join(', ')} are missing: see the kernel's command line`,
      );
}

async function deviceFinding(
  hierarchies: readonly Hierarchy[],
  canLoadProgram: (() => Promise<boolean>) | undefined,
): Promise<Finding> {
  if (hierarchies.some((one) => one.controllers.split(',').includes('devices'))) return ok('device-guard');
  // Only root may ask; without root `up` refuses anyway.
  if (canLoadProgram === undefined || (await canLoadProgram())) return ok('device-guard');
  return weaker(
    'device-guard',
    'this kernel takes no device program for cgroup v2, so a privileged pod that makes its own device file can open a disk of this machine',
  );
}

/** The reasons not to start, as one text; undefined where there is none. */
export function refusal({ findings }: Machine): string | undefined {
  const reasons = findings.filter((one) => one.verdict === 'missing').map((one) => one.reason);
  return reasons.length === 0 ? undefined : reasons.join('; ');
}
