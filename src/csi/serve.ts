import { mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import * as grpc from '@grpc/grpc-js';

const drainLimitMs = 5_000;

/** The path of a `unix:///csi/csi.sock` endpoint. */
export function socketPath(endpoint: string): string {
  const match = /^unix:(\/\/)?(\/[^\0]+)$/.exec(endpoint);
  if (!match?.[2]) throw new Error(`endpoint ${endpoint}: give a unix socket, as unix:///csi/csi.sock`);
  return match[2];
}

/** Serves on a unix socket until the signal aborts; one that a killed process left is replaced. */
export async function serveOnSocket(server: grpc.Server, path: string, signal: AbortSignal): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await rm(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix://${path}`, grpc.ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await new Promise<void>((resolve) => {
    // Calls under way may end; a caller that never does must not keep us.
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, drainLimitMs);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
  // The socket's file went with the listening: one that is there now is a successor's.
}
