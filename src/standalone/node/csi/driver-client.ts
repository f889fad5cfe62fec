import { Client, credentials } from '@grpc/grpc-js';
import {
  Node,
  NodeServiceCapability_RPC_Type as Capability,
  type NodeGetInfoResponse,
} from '../../../gen/csi/v1/csi_pb.js';
import { unaryClient, type UnaryClient } from '../../../lib/grpc.ts';
import type { GenService, GenServiceMethods } from '@bufbuild/protobuf/codegenv2';

type MethodsOf<S> = S extends GenService<infer M extends GenServiceMethods> ? M : never;
export type NodeCalls = UnaryClient<MethodsOf<typeof Node>>;

/** One registered CSI driver's node service. */
export interface DriverClient {
  readonly name: string;
  readonly endpoint: string;
  readonly calls: NodeCalls;
  /** Asked once, then remembered. */
  has(capability: Capability, signal: AbortSignal): Promise<boolean>;
  info(signal: AbortSignal): Promise<NodeGetInfoResponse>;
  close(): void;
}

export { Capability };

const askMs = 10_000;
/** For what may attach, format or replay a journal. */
export const driverCallMs = 120_000;

export function connectDriver(name: string, endpoint: string): DriverClient {
  const path = endpoint.replace(/^unix:\/*/, '/');
  const client = new Client(`unix://${path}`, credentials.createInsecure(), {
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 2_000,
  });
  const calls = unaryClient(client, Node);
  let capabilities: ReadonlySet<Capability> | undefined;
  return {
    name,
    endpoint,
    calls,
    async has(capability, signal) {
      if (!capabilities) {
        const answer = await calls.nodeGetCapabilities({}, { signal, timeoutMs: askMs });
        capabilities = new Set(
          answer.capabilities.flatMap(({ type }) => (type.case === 'rpc' ? [type.value.type] : [])),
        );
      }
      return capabilities.has(capability);
    },
    info: (signal) => calls.nodeGetInfo({}, { signal, timeoutMs: askMs }),
    close: () => client.close(),
  };
}
