import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { Identity, Node } from '../gen/csi/v1/csi_pb.js';
import type { Filesystems } from '../host/filesystems.ts';
import type { Mounts } from '../host/mounts.ts';
import type { Clock } from '../lib/clock.ts';
import { addService } from '../lib/grpc.ts';
import type { Logger } from '../lib/log.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { identityService } from './identity.ts';
import { mounterClient } from './mounter/client.ts';
import { nodeService } from './node.ts';
import { stagedVolumes } from './node/staged.ts';
import { rpcFailure } from './rpc-failure.ts';
import { serveOnSocket, socketPath } from './serve.ts';
import { runRegistrar } from './sidecar/registrar.ts';

export interface CsiNodeOptions {
  readonly driver: string;
  readonly version: string;
  readonly nodeId: string;
  readonly endpoint: string;
  readonly kubeletRoot: string;
  readonly registrationDir: string;
  readonly pluginSocket: string;
  /** `unix:///mounter/mounter.sock` */
  readonly mounter: string;
}

export interface CsiNodeDeps {
  readonly clusters: ClusterConfig;
  readonly mounts: Mounts;
  readonly filesystems: Filesystems;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** csi node: stages and publishes, and registers with kubelet. It holds no mount: those outlive it. */
export async function runCsiNode(options: CsiNodeOptions, deps: CsiNodeDeps): Promise<void> {
  const { clusters, mounts, filesystems, clock, log, signal } = deps;
  const server = new grpc.Server();
  const service = nodeService({
    nodeId: options.nodeId,
    kubeletRoot: options.kubeletRoot,
    clusters,
    mounter: mounterClient(socketPath(options.mounter)),
    mounts,
    filesystems,
    staged: stagedVolumes(join(options.kubeletRoot, 'plugins', options.driver, 'staged')),
    now: () => clock.now(),
    log,
  });
  addService(
    server,
    Identity,
    identityService(options, () => Promise.resolve(true)),
    rpcFailure,
  );
  addService(server, Node, service, rpcFailure);
  await Promise.all([
    serveOnSocket(server, socketPath(options.endpoint), signal),
    runRegistrar(options, log, signal),
  ]);
}
