import { ApiError, badRequest, internalError } from '../status.ts';
import type { Answer, Exchange } from '../http/exchange.ts';
import type { NodeProxy } from './node-proxy.ts';
import { containerOf, podTarget } from './pod-target.ts';

const passedOn = [
  'follow',
  'previous',
  'sinceSeconds',
  'sinceTime',
  'timestamps',
  'tailLines',
  'limitBytes',
  'stream',
];
const maxErrorBytes = 4096;

async function textOf(body: AsyncIterable<Buffer>): Promise<string> {
  let text = '';
  for await (const chunk of body) {
    text += chunk.toString();
    if (text.length > maxErrorBytes) break;
  }
  return text.slice(0, maxErrorBytes);
}

/** GET pods/log: the node's answer, as it comes. */
export async function podLog(proxy: NodeProxy, exchange: Exchange): Promise<Answer> {
  const { route, query, caller } = exchange;
  const { pod, target } = await podTarget(exchange);
  const container = containerOf(pod, query.get('container'));
  for (const name of ['sinceSeconds', 'tailLines', 'limitBytes']) {
    const value = query.get(name);
    if (value !== null && !/^\d+$/.test(value))
      throw badRequest(`${name}: must be a whole number that is not negative`);
  }
  const wanted = new URLSearchParams();
  for (const name of passedOn) for (const value of query.getAll(name)) wanted.append(name, value);
  const path = ['containerLogs', route.namespace ?? '', route.name ?? '', container]
    .map(encodeURIComponent)
    .join('/');
  const answer = await proxy
    .open(target, { method: 'GET', path: `/${path}?${wanted.toString()}`, headers: {} }, caller.signal)
    .catch((error: unknown) => {
      throw internalError(`node ${target.nodeName} cannot be reached: ${(error as Error).message}`, error);
    });
  if (answer.kind === 'upgraded') {
    answer.socket.destroy();
    throw internalError(`node ${target.nodeName} answered with another protocol`);
  }
  if (answer.status !== 200) {
    const text = (await textOf(answer.body)).trim();
    throw new ApiError(answer.status, answer.status === 404 ? 'NotFound' : 'BadRequest', text || 'unknown');
  }
  return { code: 200, contentType: 'text/plain', stream: answer.body };
}
