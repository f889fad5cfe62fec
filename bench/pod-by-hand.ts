import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import type { MessageInitShape } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import { RuntimeService, type MountSchema } from '../src/gen/runtime/v1/api_pb.js';
import { unaryClient } from '../src/lib/grpc.ts';
import { runCommand } from '../src/lib/run-command.ts';
import { secret, type BenchInstance } from './instance.ts';

/** What a container of the same image needs: found out from one that the node started. */
interface ContainerShape {
  readonly image: string;
  readonly mounts: readonly MessageInitShape<typeof MountSchema>[];
}

/** Where the milliseconds of one start by hand went. */
export interface HandTimes {
  readonly attach: number;
  readonly mkfs: number;
  readonly mount: number;
  readonly sandbox: number;
  readonly container: number;
}

export interface PodByHand {
  /** Takes an image through qsd, a loop, mkfs and mount, and a pod with it through CRI; then takes all down. */
  start(image: string, signal: AbortSignal): Promise<HandTimes>;
  close(): void;
}

interface Hand {
  readonly cri: ReturnType<typeof unaryClient<typeof RuntimeService.method>>;
  readonly shape: ContainerShape;
  readonly pool: string;
  readonly user: ReadonlyMap<string, string>;
  readonly monHost: string;
  /** The node's kubelet folder, as the host sees it. */
  readonly kubelet: string;
  /** Runs a command in all of the node's namespaces. */
  run(command: readonly string[], signal: AbortSignal): Promise<string>;
}

/** Starts pods in the instance's node without any of Holdfast: its tools, and containerd's socket. */
export async function podByHand(
  instance: BenchInstance,
  like: { readonly container: string; readonly pool: string },
  signal: AbortSignal,
): Promise<PodByHand> {
  const init = await instance.nodeInit();
  const client = new grpc.Client(
    `unix:///proc/${init}/root/run/containerd/containerd.sock`,
    grpc.credentials.createInsecure(),
  );
  const cri = unaryClient(client, RuntimeService);
  const hand: Hand = {
    cri,
    shape: await shapeOf(cri, like.container, signal),
    pool: like.pool,
    user: await secret(instance, 'rook-csi-rbd-node', signal),
    monHost: (await secret(instance, 'rook-ceph-config', signal)).get('mon_host') ?? '',
    kubelet: join(instance.places.nodes, 'node1/kubelet'),
    run: async (command, own) =>
      (await runCommand('nsenter', ['-t', String(init), '-a', '--', ...command], { signal: own })).stdout,
  };
  return { close: () => client.close(), start: (image, own) => startAndStop(hand, image, own) };
}

type Undo = (signal: AbortSignal) => Promise<unknown>;

/**
 * What was done is undone in reverse, whatever failed. It has to be: a daemon that dies with the node while its
 * own file system is mounted beside it waits for itself for ever, and every losetup of the machine with it.
 */
async function startAndStop(hand: Hand, image: string, signal: AbortSignal): Promise<HandTimes> {
  const undo: Undo[] = [];
  try {
    const inside = join('/var/lib/kubelet/bench', image);
    const outside = join(hand.kubelet, 'bench', image);
    await writeFiles(hand, inside, outside);
    undo.push(() => rm(join(outside, 'keyring')));
    const disk = await mountByHand(hand, { image, inside, outside }, undo, signal);
    return { ...disk, ...(await runByHand(hand, { image, inside }, undo, signal)) };
  } finally {
    for (const step of undo.toReversed()) await step(AbortSignal.timeout(20_000));
  }
}

async function writeFiles(hand: Hand, inside: string, outside: string): Promise<void> {
  await mkdir(join(outside, 'mount'), { recursive: true, mode: 0o700 });
  await writeFile(join(outside, 'dev'), '');
  const keyring = `[client.${hand.user.get('userID')}]\n\tkey = ${hand.user.get('userKey')}\n`;
  await writeFile(join(outside, 'keyring'), keyring, { mode: 0o600 });
  const conf = ['[global]', `mon_host = ${hand.monHost}`, `keyring = ${inside}/keyring`, 'admin_socket ='];
  await writeFile(join(outside, 'conf'), [...conf, 'log_file =', 'rbd_cache = false', ''].join('\n'));
}

async function mountByHand(
  { run, pool, user }: Hand,
  { image, inside, outside }: { image: string; inside: string; outside: string },
  undo: Undo[],
  signal: AbortSignal,
): Promise<Pick<HandTimes, 'attach' | 'mkfs' | 'mount'>> {
  const lap = stopwatch();
  await run(qsdCommand(inside, pool, image, user.get('userID') ?? ''), signal);
  const pid = (await readFile(join(outside, 'pid'), 'utf8')).trim();
  undo.push((own) => run(['kill', pid], own));
  const device = (await run(['losetup', '-f', '--show', '--direct-io=on', `${inside}/dev`], signal)).trim();
  undo.push((own) => run(['losetup', '-d', device], own));
  const attach = lap();
  await run(['mkfs.ext4', '-q', '-F', '-E', 'nodiscard', '-m', '0', device], signal);
  const mkfs = lap();
  await run(['mount', '-t', 'ext4', device, `${inside}/mount`], signal);
  undo.push((own) => run(['umount', `${inside}/mount`], own));
  return { attach, mkfs, mount: lap() };
}

async function runByHand(
  { cri, shape }: Hand,
  { image, inside }: { image: string; inside: string },
  undo: Undo[],
  signal: AbortSignal,
): Promise<Pick<HandTimes, 'sandbox' | 'container'>> {
  const sandboxConfig = {
    metadata: { name: image, namespace: 'bench', uid: image, attempt: 0 },
    hostname: image,
    logDirectory: inside,
    linux: {},
  };
  const call = { signal, timeoutMs: 20_000 };
  const lap = stopwatch();
  const { podSandboxId } = await cri.runPodSandbox({ config: sandboxConfig }, call);
  undo.push(async (own) => {
    await cri.stopPodSandbox({ podSandboxId }, { signal: own });
    await cri.removePodSandbox({ podSandboxId }, { signal: own });
  });
  const sandbox = lap();
  const config = {
    metadata: { name: 'sleeper', attempt: 0 },
    image: { image: shape.image },
    command: ['sleep', '1000'],
    logPath: 'log',
    mounts: [...shape.mounts, { hostPath: `${inside}/mount`, containerPath: '/data' }],
    linux: {},
  };
  const { containerId } = await cri.createContainer({ podSandboxId, sandboxConfig, config }, call);
  await cri.startContainer({ containerId }, call);
  return { sandbox, container: lap() };
}

const qsdCommand = (folder: string, pool: string, image: string, user: string): string[] => [
  'qemu-storage-daemon',
  '--blockdev',
  `driver=rbd,node-name=r,pool=${pool},image=${image},conf=${folder}/conf,user=${user},discard=unmap,cache.direct=on`,
  '--export',
  `type=fuse,id=e,node-name=r,mountpoint=${folder}/dev,writable=on,growable=on,allow-other=auto`,
  '--daemonize',
  '--pidfile',
  `${folder}/pid`,
];

async function shapeOf(cri: Hand['cri'], containerId: string, signal: AbortSignal): Promise<ContainerShape> {
  const { status } = await cri.containerStatus({ containerId }, { signal });
  if (!status) throw new Error(`containerd does not know container ${containerId}`);
  return {
    image: status.image?.image ?? '',
    mounts: status.mounts
      .filter(({ readonly: fixed }) => fixed) // The image's own; the pod's volumes are written to.
      .map(({ hostPath, containerPath }) => ({ hostPath, containerPath, readonly: true })),
  };
}

/** The milliseconds since it was last asked. */
function stopwatch(): () => number {
  let lastMs = performance.now();
  return () => {
    const nowMs = performance.now();
    const passed = nowMs - lastMs;
    lastMs = nowMs;
    return passed;
  };
}
