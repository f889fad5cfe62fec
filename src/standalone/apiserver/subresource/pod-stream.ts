import type { Duplex } from 'node:stream';
import { badRequest, internalError } from '../status.ts';
import type { Exchange } from '../http/exchange.ts';
import { isTrue } from '../http/route.ts';
import type { NodeAnswer, NodeProxy } from './node-proxy.ts';
import { containerOf, podTarget } from './pod-target.ts';

const streamed = new Set(['exec', 'attach', 'portforward']);
export const isPodStream = ({ kind, route }: Exchange): boolean =>
  kind.group === '' && kind.plural === 'pods' && streamed.has(route.subresource);

// Headers of the handshake itself; all others are between the client and us.
const handshake = [
  'connection',
  'upgrade',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-protocol',
  'sec-websocket-extensions',
  'x-stream-protocol-version',
];

/** The kubelet's path for a request to a pod's streams. */
function nodePath(exchange: Exchange, container: string): string {
  const { route, query } = exchange;
  const pod = [route.namespace ?? '', route.name ?? ''];
  const params = new URLSearchParams();
  if (route.subresource === 'portforward') {
    for (const ports of query.getAll('ports'))
      for (const port of ports.split(',')) params.append('port', port);
    return `/${['portForward', ...pod].map(encodeURIComponent).join('/')}?${params.toString()}`;
  }
  // The kubelet has names of its own for these.
  const names = { stdin: 'input', stdout: 'output', stderr: 'error', tty: 'tty' };
  for (const [from, to] of Object.entries(names)) if (isTrue(query.get(from))) params.append(to, '1');
  for (const word of query.getAll('command')) params.append('command', word);
  return `/${[route.subresource, ...pod, container].map(encodeURIComponent).join('/')}?${params.toString()}`;
}

function checkStreams({ query, route }: Exchange): void {
  if (route.subresource === 'portforward') return;
  if (route.subresource === 'exec' && query.getAll('command').length === 0)
    throw badRequest('you must specify at least one command for the container');
  if (!['stdin', 'stdout', 'stderr'].some((name) => isTrue(query.get(name))))
    throw badRequest('you must specify at least one of stdin, stdout, stderr');
}

/** Opens exec, attach or port-forward on the pod's node, with the client's own handshake. */
export async function openPodStream(proxy: NodeProxy, exchange: Exchange): Promise<NodeAnswer> {
  const { route, query, req, caller } = exchange;
  checkStreams(exchange);
  const { pod, target } = await podTarget(exchange);
  const phase = pod.status?.phase;
  if (phase === 'Succeeded' || phase === 'Failed')
    throw badRequest(
      `cannot ${route.subresource} in a container of a completed pod; current phase is ${phase}`,
    );
  const container = route.subresource === 'portforward' ? '' : containerOf(pod, query.get('container'));
  const headers: Record<string, string | readonly string[]> = {};
  for (const name of handshake) {
    const value = req.headers[name];
    if (value !== undefined) headers[name] = value;
  }
  if (req.method === 'POST') headers['content-length'] = '0';
  try {
    return await proxy.open(
      target,
      { method: req.method ?? 'GET', path: nodePath(exchange, container), headers },
      caller.signal,
    );
  } catch (error) {
    throw internalError(`node ${target.nodeName} cannot be reached: ${(error as Error).message}`, error);
  }
}

/** Passes bytes both ways until one side ends; the other is then given what is on its way. */
export function joinStreams(client: Duplex, node: Duplex): Promise<void> {
  return new Promise((resolve) => {
    let open = 2;
    const closed = () => {
      open--;
      if (open === 0) resolve();
    };
    for (const [from, to] of [
      [client, node],
      [node, client],
    ] as const) {
      from.once('close', () => {
        // Not destroyed at once: what was written before is still on its way.
        to.end(() => to.destroy());
        closed();
      });
      from.on('error', () => from.destroy());
      from.pipe(to);
    }
  });
}
