import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { Registration } from '../../gen/pluginregistration/v1/api_pb.js';
import { addService } from '../../lib/grpc.ts';
import type { Logger } from '../../lib/log.ts';
import { rpcFailure } from '../rpc-failure.ts';
import { serveOnSocket } from '../serve.ts';

export interface RegistrarOptions {
  readonly driver: string;
  /** kubelet's plugins_registry, as this pod has it. */
  readonly registrationDir: string;
  /** The driver's socket as kubelet sees it. */
  readonly pluginSocket: string;
}

/** Tells kubelet of the driver: the node-driver-registrar's work. Runs until the signal aborts. */
export async function runRegistrar(
  { driver, registrationDir, pluginSocket }: RegistrarOptions,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const server = new grpc.Server();
  addService(
    server,
    Registration,
    {
      getInfo: () =>
        Promise.resolve({
          type: 'CSIPlugin',
          name: driver,
          endpoint: pluginSocket,
          supportedVersions: ['1.0.0'],
        }),
      notifyRegistrationStatus: ({ pluginRegistered, error }) => {
        if (pluginRegistered) log.info({ driver }, 'registered with kubelet');
        else log.error({ driver, reason: error }, 'kubelet refused the registration');
        return Promise.resolve({});
      },
    },
    rpcFailure,
  );
  await serveOnSocket(server, join(registrationDir, `${driver}-reg.sock`), signal);
}
