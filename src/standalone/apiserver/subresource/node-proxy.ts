import type { IncomingHttpHeaders } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import type { Duplex, Readable } from 'node:stream';
import { serverTimeout } from '../status.ts';

/** Where a node's kubelet API answers. */
export interface NodeTarget {
  readonly nodeName: string;
  readonly host: string;
  readonly port: number;
}

export interface NodeRequest {
  readonly method: string;
  /** With its query: `/containerLogs/ns/pod/container?follow=true`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
}

export type NodeAnswer =
  | {
      readonly kind: 'response';
      readonly status: number;
      readonly headers: IncomingHttpHeaders;
      readonly body: Readable;
    }
  /** 101: from here on both sides send bytes as they like. `head` came with the answer already. */
  | {
      readonly kind: 'upgraded';
      readonly headers: IncomingHttpHeaders;
      readonly socket: Duplex;
      readonly head: Buffer;
    };

/** The way to the nodes' own HTTPS API. Rejects where the node does not answer. */
export interface NodeProxy {
  open(target: NodeTarget, request: NodeRequest, signal: AbortSignal): Promise<NodeAnswer>;
}

export interface NodeProxyTls {
  /** PEM texts: what signed the nodes' certificates, and our own client certificate. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

const connectTimeoutMs = 10_000;

/** Speaks to nodes over mutual TLS. Their certificates are checked for the node's address. */
export function httpsNodeProxy(tls: NodeProxyTls): NodeProxy {
  const agent = new Agent({ ca: tls.ca, cert: tls.cert, key: tls.key, keepAlive: false });
  return {
    open({ host, port, nodeName }, { method, path, headers }, signal) {
      return new Promise((resolve, reject) => {
        const outgoing = httpsRequest({
          host,
          port,
          method,
          path,
          headers: headers as Record<string, string>,
          agent,
          signal,
        });
        const timer = setTimeout(
          () => outgoing.destroy(serverTimeout(`node ${nodeName} does not answer at ${host}:${port}`)),
          connectTimeoutMs,
        );
        outgoing.once('error', (error) => {
          clearTimeout(timer);
          reject(error);
        });
        outgoing.once('response', (incoming) => {
          clearTimeout(timer);
          const { statusCode = 502, headers: answered } = incoming;
          resolve({ kind: 'response', status: statusCode, headers: answered, body: incoming });
        });
        outgoing.once('upgrade', (incoming, socket, head) => {
          clearTimeout(timer);
          resolve({ kind: 'upgraded', headers: incoming.headers, socket, head });
        });
        outgoing.end();
      });
    },
  };
}
