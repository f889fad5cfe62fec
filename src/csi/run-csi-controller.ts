import * as grpc from '@grpc/grpc-js';
import { CephBlockPools } from '../api/ceph/ceph-block-pool.ts';
import type { CephOpener } from '../ceph/seam.ts';
import { createManager } from '../control/manager.ts';
import { Controller, Identity } from '../gen/csi/v1/csi_pb.js';
import type { KubeClient } from '../kube/client.ts';
import { createEventRecorder } from '../kube/events.ts';
import type { Clock } from '../lib/clock.ts';
import { addService } from '../lib/grpc.ts';
import type { Logger } from '../lib/log.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { openClusters } from './clusters.ts';
import { controllerService, type ControllerService } from './controller.ts';
import { identityService } from './identity.ts';
import { bootIdLookup, nodeLookup } from './node-lookup.ts';
import { rpcFailure } from './rpc-failure.ts';
import { staticImages } from './rbd/static-images.ts';
import { rbdVolumes } from './rbd/volumes.ts';
import { trashBin } from './rbd/trash-bin.ts';
import { serveOnSocket, socketPath } from './serve.ts';
import { addCsiSidecars } from './sidecar/sidecars.ts';

export interface CsiControllerOptions {
  readonly driver: string;
  readonly version: string;
  /** `unix:///csi/csi.sock`, for upstream's sidecars and conformance suites. */
  readonly endpoint: string;
  /** Where the Lease is. */
  readonly namespace: string;
  /** Unique for each process. */
  readonly identity: string;
}

export interface CsiDeps {
  readonly client: KubeClient;
  readonly openCeph: CephOpener;
  readonly clusters: ClusterConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** csi controller: the gRPC service, and the sidecars' work on the same code. Runs until the signal aborts. */
export async function runCsiController(options: CsiControllerOptions, deps: CsiDeps): Promise<void> {
  const { clock, log, signal } = deps;
  const clusters = openClusters(deps.clusters, deps.openCeph);
  const volumes = rbdVolumes(clusters, trashBin({ clock, log, signal }));
  const service = controllerService({
    volumes,
    images: staticImages(clusters),
    now: () => clock.now(),
    nodeExists: nodeLookup(deps.client, options.driver, () => clock.now()),
    bootIdOf: bootIdLookup(deps.client),
  });
  const server = new grpc.Server();
  addService(
    server,
    Identity,
    identityService(options, async () => (await deps.clusters.all()).length > 0),
    rpcFailure,
  );
  addService(server, Controller, service, rpcFailure);
  try {
    await Promise.all([
      serveOnSocket(server, socketPath(options.endpoint), signal),
      runSidecars(options, service, deps),
    ]);
  } finally {
    await clusters.close();
  }
}

/** Provisioner, deleter, attacher and resizer; only the leader's work. */
async function runSidecars(
  options: Pick<CsiControllerOptions, 'driver' | 'namespace' | 'identity'>,
  controller: ControllerService,
  deps: Omit<CsiDeps, 'openCeph' | 'clusters'>,
): Promise<void> {
  const { driver, namespace, identity } = options;
  const { client, clock, log, signal } = deps;
  const lease = { namespace, name: driver.replace(/[^a-z0-9-]/g, '-') };
  const manager = createManager({ client, clock, log, leaderElection: { lease, identity } });
  const events = createEventRecorder({ client, component: driver, clock, log, signal });
  addCsiSidecars(manager, {
    driver,
    controller,
    client,
    events,
    now: () => clock.now(),
    secretNamespace: namespace,
    poolNamespace: (await servesPools(client, namespace, log, signal)) ? namespace : undefined,
  });
  await manager.run(signal);
}

/** Whether CephBlockPools may be watched here: under Rook's own roles, or without the kind, they may not. */
async function servesPools(
  client: KubeClient,
  namespace: string,
  log: Logger,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await client.list(CephBlockPools, { namespace }, { signal });
    return true;
  } catch (error) {
    signal.throwIfAborted();
    log.warn({ err: error }, 'CephBlockPools are not watched; claims look for their pool every half minute');
    return false;
  }
}
