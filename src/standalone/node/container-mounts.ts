import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Container, Pod, VolumeMount } from 'kubernetes-types/core/v1.js';
import { MountPropagation } from '../../gen/runtime/v1/api_pb.js';
import type { CriMount } from './container-config.ts';
import { podFolder } from './csi/paths.ts';
import { expand } from './expansion.ts';
import { hostnameOf } from './sandbox-config.ts';
import { configError } from './start-error.ts';
import { terminationFile } from './termination-message.ts';
import type { PodVolumeMap } from './volumes/pod-volumes.ts';
import { bindSubPath } from './volumes/sub-path.ts';

export interface MountInputs {
  readonly pod: Pod;
  readonly container: Container;
  readonly volumes: PodVolumeMap;
  readonly environment: ReadonlyMap<string, string>;
  readonly kubeletRoot: string;
  readonly podIps: readonly string[];
  /** The node's own /etc/hosts, for pods on its network. */
  readonly nodeHosts: string;
}

const propagations: Readonly<Record<string, MountPropagation>> = {
  None: MountPropagation.PROPAGATION_PRIVATE,
  HostToContainer: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
  Bidirectional: MountPropagation.PROPAGATION_BIDIRECTIONAL,
};

/** The binds of one container, with its /etc/hosts; sub-paths are bound on the node first. */
export async function containerMounts(inputs: MountInputs, signal: AbortSignal): Promise<CriMount[]> {
  const { container } = inputs;
  const mounts: CriMount[] = [];
  for (const [index, mount] of (container.volumeMounts ?? []).entries())
    mounts.push(await volumeMount(inputs, mount, index, signal));
  if (!mounts.some((mount) => mount.containerPath === '/etc/hosts')) mounts.push(await hostsMount(inputs));
  return mounts;
}

async function volumeMount(
  { pod, container, volumes, environment, kubeletRoot }: MountInputs,
  mount: VolumeMount,
  index: number,
  signal: AbortSignal,
): Promise<CriMount> {
  const volume = volumes.get(mount.name);
  if (!volume)
    throw configError(`cannot find volume "${mount.name}" to mount into container "${container.name}"`);
  let { hostPath } = volume;
  const subPath = mount.subPathExpr
    ? expand(mount.subPathExpr, (name) => environment.get(name))
    : (mount.subPath ?? '');
  if (subPath !== '') {
    const target = join(
      podFolder(kubeletRoot, pod.metadata?.uid ?? ''),
      'volume-subpaths',
      mount.name,
      container.name,
      String(index),
    );
    try {
      await bindSubPath(hostPath, subPath, target, signal);
    } catch (cause) {
      signal.throwIfAborted();
      throw configError(
        `failed to prepare subPath for volumeMount "${mount.name}" of container "${container.name}": ${(cause as Error).message}`,
      );
    }
    hostPath = target;
  }
  return {
    hostPath,
    containerPath: mount.mountPath,
    readonly: (mount.readOnly ?? false) || volume.readOnly,
    propagation: propagations[mount.mountPropagation ?? 'None'] ?? MountPropagation.PROPAGATION_PRIVATE,
  };
}

/** Raw devices of the container. */
export function containerDevices(
  container: Container,
  volumes: PodVolumeMap,
): { hostPath: string; containerPath: string }[] {
  return (container.volumeDevices ?? []).map((device) => {
    const volume = volumes.get(device.name);
    if (!volume?.isDevice) throw configError(`volume "${device.name}" is not a block device`);
    return { hostPath: volume.hostPath, containerPath: device.devicePath };
  });
}

async function hostsMount(inputs: MountInputs): Promise<CriMount> {
  const { pod, kubeletRoot } = inputs;
  const hostPath = join(podFolder(kubeletRoot, pod.metadata?.uid ?? ''), 'etc-hosts');
  await writeFile(hostPath, hostsFile(inputs), { mode: 0o644 });
  return { hostPath, containerPath: '/etc/hosts', readonly: false };
}

/** A pod's /etc/hosts: its own name, or the node's file where it shares the network, and its aliases. */
export function hostsFile({
  pod,
  podIps,
  nodeHosts,
}: Pick<MountInputs, 'pod' | 'podIps' | 'nodeHosts'>): string {
  const spec = pod.spec;
  const lines: string[] = [];
  if (spec?.hostNetwork) lines.push(nodeHosts.trimEnd());
  else {
    lines.push(
      '# Kubernetes-managed hosts file.',
      '127.0.0.1\tlocalhost',
      '::1\tlocalhost ip6-localhost ip6-loopback',
      'fe00::0\tip6-localnet',
      'fe00::0\tip6-mcastprefix',
      'fe00::1\tip6-allnodes',
      'fe00::2\tip6-allrouters',
    );
    const name = hostnameOf(pod);
    const full = spec?.subdomain
      ? `${name}.${spec.subdomain}.${pod.metadata?.namespace ?? ''}.svc.cluster.local\t${name}`
      : name;
    for (const ip of podIps) lines.push(`${ip}\t${full}`);
  }
  const aliases = spec?.hostAliases ?? [];
  if (aliases.length > 0) {
    lines.push('', '# Entries added by HostAliases.');
    for (const alias of aliases) lines.push(`${alias.ip}\t${(alias.hostnames ?? []).join('\t')}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Makes the file that a container may leave its last words in. */
export async function makeTerminationFile(
  kubeletRoot: string,
  podUid: string,
  containerName: string,
  attempt: number,
): Promise<string> {
  const path = terminationFile(kubeletRoot, podUid, containerName, attempt);
  await mkdir(dirname(path), { recursive: true, mode: 0o750 });
  await writeFile(path, '');
  await chmod(path, 0o666); // A container of any user may write its last words.
  return path;
}
