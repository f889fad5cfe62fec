import type {
  Capabilities,
  Container,
  Pod,
  PodSecurityContext,
  SecurityContext,
  SeccompProfile,
} from 'kubernetes-types/core/v1.js';
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  MountPropagation,
  NamespaceMode,
  SecurityProfile_ProfileType,
  type ContainerConfigSchema,
  type LinuxContainerResourcesSchema,
  type LinuxContainerSecurityContextSchema,
  type MountSchema,
  type NamespaceOptionSchema,
} from '../../gen/runtime/v1/api_pb.js';
import { parseBytes, parseQuantity } from '../../lib/quantity.ts';
import {
  containerNameLabel,
  graceAnnotation,
  imageNameAnnotation,
  podNameLabel,
  podNamespaceLabel,
  podUidLabel,
  terminationFileAnnotation,
  terminationPathAnnotation,
  terminationPolicyAnnotation,
} from './cri-labels.ts';
import { expand } from './expansion.ts';
import { configError } from './start-error.ts';

export type CriMount = MessageInitShape<typeof MountSchema>;

/** The image that a container's name stands for, as containerd must be asked for it. */
export interface ResolvedImage {
  /** containerd's reference. */
  readonly reference: string;
  /** Added read-only below the pod's own mounts. */
  readonly mounts: readonly { readonly hostPath: string; readonly containerPath: string }[];
  readonly env: readonly string[];
  /** Empty where containerd knows the image's own. */
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** The user the image runs as where the pod says none. */
  readonly uid: bigint | undefined;
}

export interface ContainerInputs {
  readonly pod: Pod;
  readonly container: Container;
  readonly attempt: number;
  readonly image: ResolvedImage;
  readonly environment: ReadonlyMap<string, string>;
  /** The pod's volumes as this container mounts them, /etc/hosts and the like included. */
  readonly mounts: readonly CriMount[];
  readonly devices: readonly { readonly hostPath: string; readonly containerPath: string }[];
  /** Bound at terminationMessagePath. */
  readonly terminationFile: string;
}

const defaultTerminationPath = '/dev/termination-log';

export function containerConfig(inputs: ContainerInputs): MessageInitShape<typeof ContainerConfigSchema> {
  const { pod, container, attempt, image, environment } = inputs;
  const lookup = (name: string) => environment.get(name);
  const command = (container.command ?? []).map((one) => expand(one, lookup));
  const args = (container.args ?? []).map((one) => expand(one, lookup));
  const own = command.length > 0;
  return {
    metadata: { name: container.name, attempt },
    image: { image: image.reference },
    command: own ? command : [...image.entrypoint],
    args: own || args.length > 0 ? args : [...image.cmd],
    workingDir: container.workingDir ?? '',
    envs: [...mergedEnvironment(image.env, environment)].map(([key, value]) => ({
      key,
      value: Buffer.from(value),
    })),
    mounts: allMounts(inputs),
    devices: inputs.devices.map((device) => ({ ...device, permissions: 'mrw' })),
    labels: {
      [podNameLabel]: pod.metadata?.name ?? '',
      [podNamespaceLabel]: pod.metadata?.namespace ?? '',
      [podUidLabel]: pod.metadata?.uid ?? '',
      [containerNameLabel]: container.name,
    },
    annotations: {
      [imageNameAnnotation]: container.image ?? '',
      [terminationPathAnnotation]: container.terminationMessagePath ?? defaultTerminationPath,
      [terminationPolicyAnnotation]: container.terminationMessagePolicy ?? 'File',
      [terminationFileAnnotation]: inputs.terminationFile,
      [graceAnnotation]: String(pod.spec?.terminationGracePeriodSeconds ?? 30),
    },
    logPath: `${container.name}/${attempt}.log`,
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    tty: container.tty ?? false,
    linux: { resources: linuxResources(container), securityContext: securityContext(pod, container, image) },
  };
}

function mergedEnvironment(
  imageEnv: readonly string[],
  environment: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const split = (line: string): [string, string] => {
    const at = line.indexOf('=');
    return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)];
  };
  return new Map([...imageEnv.map(split), ...environment]);
}

function allMounts({ container, image, mounts, terminationFile }: ContainerInputs): CriMount[] {
  const own = new Set(mounts.map((mount) => cleanPath(mount.containerPath ?? '')));
  const terminationPath = container.terminationMessagePath ?? defaultTerminationPath;
  const all: CriMount[] = [
    // What the pod mounts at the same place wins over the image's file there.
    ...image.mounts
      .filter((mount) => !own.has(cleanPath(mount.containerPath)))
      .map((mount) => ({ ...mount, readonly: true, propagation: MountPropagation.PROPAGATION_PRIVATE })),
    ...mounts,
  ];
  if (!own.has(cleanPath(terminationPath)))
    all.push({ hostPath: terminationFile, containerPath: terminationPath });
  return all;
}

const cleanPath = (path: string): string => (path.length > 1 ? path.replace(/\/+$/, '') : path);

/** CPU shares and quota and the memory limit. The OOM score is left to the runtime: nodes may not lower it. */
export function linuxResources(container: Container): MessageInitShape<typeof LinuxContainerResourcesSchema> {
  const { limits = {}, requests = {} } = container.resources ?? {};
  const milli = (text: string | undefined) => (text === undefined ? undefined : parseQuantity(text)?.milli);
  const limit = milli(limits['cpu']);
  const request = milli(requests['cpu']) ?? limit ?? 0n;
  const shares = (request * 1024n) / 1000n;
  const memory = limits['memory'] === undefined ? undefined : parseBytes(limits['memory']);
  const quota = limit === undefined ? 0n : (limit * 100_000n) / 1000n;
  return {
    cpuShares: shares < 2n ? 2n : shares > 262_144n ? 262_144n : shares,
    ...(quota > 0n ? { cpuPeriod: 100_000n, cpuQuota: quota < 1000n ? 1000n : quota } : {}),
    ...(memory === undefined ? {} : { memoryLimitInBytes: memory }),
  };
}

const maskedPaths = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
];
const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

function securityContext(
  pod: Pod,
  container: Container,
  image: ResolvedImage,
): MessageInitShape<typeof LinuxContainerSecurityContextSchema> {
  const ofPod: PodSecurityContext = pod.spec?.securityContext ?? {};
  const own: SecurityContext = container.securityContext ?? {};
  const user = own.runAsUser ?? ofPod.runAsUser;
  const group = own.runAsGroup ?? ofPod.runAsGroup;
  const nonRoot = own.runAsNonRoot ?? ofPod.runAsNonRoot ?? false;
  if (nonRoot && user === 0) throw configError("container's runAsUser breaks non-root policy");
  if (nonRoot && user === undefined && (image.uid ?? 0n) === 0n)
    throw configError('container has runAsNonRoot and image will run as root');
  const privileged = own.privileged ?? false;
  const groups = [
    ...(ofPod.supplementalGroups ?? []),
    ...(ofPod.fsGroup === undefined ? [] : [ofPod.fsGroup]),
  ];
  const unmasked = privileged || own.procMount === 'Unmasked';
  return {
    privileged,
    namespaceOptions: namespaceOptions(pod),
    ...(user === undefined ? {} : { runAsUser: { value: BigInt(user) } }),
    ...(group === undefined || user === undefined ? {} : { runAsGroup: { value: BigInt(group) } }),
    readonlyRootfs: own.readOnlyRootFilesystem ?? false,
    supplementalGroups: groups.map(BigInt),
    noNewPrivs: own.allowPrivilegeEscalation === false && !privileged,
    capabilities: criCapabilities(own.capabilities),
    maskedPaths: unmasked ? [] : maskedPaths,
    readonlyPaths: unmasked ? [] : readonlyPaths,
    seccomp: seccompProfile(privileged ? undefined : (own.seccompProfile ?? ofPod.seccompProfile)),
  };
}

function criCapabilities(wanted: Capabilities | undefined) {
  const plain = (name: string) => name.replace(/^CAP_/, '');
  return {
    addCapabilities: (wanted?.add ?? []).map(plain),
    dropCapabilities: (wanted?.drop ?? []).map(plain),
  };
}

/** As kubelet without SeccompDefault: none where none is asked for. */
export function seccompProfile(profile: SeccompProfile | undefined) {
  switch (profile?.type) {
    case 'RuntimeDefault':
      return { profileType: SecurityProfile_ProfileType.RuntimeDefault };
    case 'Localhost':
      return {
        profileType: SecurityProfile_ProfileType.Localhost,
        localhostRef: `/var/lib/kubelet/seccomp/${profile.localhostProfile ?? ''}`,
      };
    default:
      return { profileType: SecurityProfile_ProfileType.Unconfined };
  }
}

export function namespaceOptions(pod: Pod): MessageInitShape<typeof NamespaceOptionSchema> {
  const spec = pod.spec;
  return {
    network: spec?.hostNetwork ? NamespaceMode.NODE : NamespaceMode.POD,
    ipc: spec?.hostIPC ? NamespaceMode.NODE : NamespaceMode.POD,
    pid: spec?.hostPID
      ? NamespaceMode.NODE
      : spec?.shareProcessNamespace
        ? NamespaceMode.POD
        : NamespaceMode.CONTAINER,
  };
}
