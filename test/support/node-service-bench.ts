import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { onTestFinished } from 'vitest';
import { mounterClient } from '../../src/csi/mounter/client.ts';
import { runMounter } from '../../src/csi/mounter/run-mounter.ts';
import { nodeService } from '../../src/csi/node.ts';
import { stagedVolumes } from '../../src/csi/node/staged.ts';
import { rpcFailure } from '../../src/csi/rpc-failure.ts';
import { Node } from '../../src/gen/csi/v1/csi_pb.js';
import { fakeAttacher } from '../../src/host/fake/fake-attacher.ts';
import { fakeHost } from '../../src/host/fake/fake-host.ts';
import { virtualClock } from '../../src/lib/clock.ts';
import { addService, unaryClient } from '../../src/lib/grpc.ts';
import { silentLogger, type Logger } from '../../src/lib/log.ts';

/** What a logger was told, by message. */
function recordingLogger(): { readonly log: Logger; readonly told: Map<string, object>; up: Promise<void> } {
  const told = new Map<string, object>();
  let isUp = () => {};
  const up = new Promise<void>((resolve) => (isUp = resolve));
  const info = (fields: object, message: string) => {
    told.set(message, fields);
    if (message === 'mounter is up') isUp();
  };
  return { log: Object.create(silentLogger, { info: { value: info } }) as Logger, told, up };
}

/** The real node service over a real socket, with a real mounter, over pretended attachers, mounts and devices. */
export async function nodeServiceBench() {
  const work = await mkdtemp(join(tmpdir(), 'csi-node-'));
  const root = join(work, 'kubelet');
  await mkdir(join(root, 'plugins'), { recursive: true });
  await mkdir(join(root, 'pods'), { recursive: true });
  const host = fakeHost();
  const [krbd, qsd] = [fakeAttacher('krbd'), fakeAttacher('qsd')];
  krbd.refusal = 'the kernel has no rbd module';
  const { log, told, up } = recordingLogger();
  const stop = new AbortController();
  const { signal } = stop;
  const socket = join(work, 'mounter.sock');
  const mounting = runMounter({ socket }, { attachers: [krbd, qsd], clock: virtualClock(), log, signal });
  await up;
  const entry = { clusterId: 'rook-ceph', monitors: ['10.0.0.1:3300'] };
  const server = new Server();
  const service = nodeService({
    nodeId: 'n1',
    kubeletRoot: root,
    clusters: { all: async () => [entry], cluster: async () => entry },
    mounter: mounterClient(socket),
    mounts: host.mounts,
    filesystems: host.filesystems,
    staged: stagedVolumes(join(root, 'plugins/d/staged')),
    now: () => 0,
    log,
  });
  addService(server, Node, service, rpcFailure);
  const address = `unix:${join(work, 'n')}`;
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(address, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    ),
  );
  const channel = new Client(address, credentials.createInsecure());
  onTestFinished(async () => {
    channel.close();
    server.forceShutdown();
    stop.abort();
    await mounting;
    await rm(work, { recursive: true, force: true });
  });
  return { node: unaryClient(channel, Node), host, krbd, qsd, root, told };
}
