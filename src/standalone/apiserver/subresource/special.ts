import { answerReview, isReview, type ReviewDeps } from '../auth/reviews.ts';
import type { SpecialHandler } from '../http/handler.ts';
import { badRequest, methodNotAllowed } from '../status.ts';
import { bindPod } from './binding.ts';
import { evictPod } from './eviction.ts';
import { finalizeNamespace } from './finalize.ts';
import type { NodeProxy } from './node-proxy.ts';
import { podLog } from './pod-log.ts';
import { isPodStream } from './pod-stream.ts';
import { requestToken } from './token-request.ts';

export interface SpecialDeps extends ReviewDeps {
  readonly nodeProxy: NodeProxy | undefined;
}

/** The parts of the API that are more than storing objects. */
export function specialHandler(deps: SpecialDeps): SpecialHandler {
  return (exchange) => {
    const { kind, route, verb } = exchange;
    if (isReview(kind)) {
      if (verb !== 'create') throw methodNotAllowed(kind, verb);
      return answerReview(deps, exchange);
    }
    if (kind.group !== '') return undefined;
    const podKind = exchange.deps.kinds.find('', 'v1', 'pods');
    if (kind.plural === 'bindings' && verb === 'create' && podKind) return bindPod(exchange, podKind);
    switch (`${kind.plural}/${route.subresource} ${verb}`) {
      case 'pods/binding create':
        return bindPod(exchange, kind);
      case 'pods/eviction create':
        return evictPod(exchange);
      case 'pods/log get':
        if (!deps.nodeProxy) throw badRequest('this server has no way to nodes');
        return podLog(deps.nodeProxy, exchange);
      case 'serviceaccounts/token create':
        if (!deps.tokens) throw badRequest('this server issues no tokens');
        return requestToken(deps.tokens, exchange);
      case 'namespaces/finalize update':
        return finalizeNamespace(exchange);
      default:
        if (isPodStream(exchange)) throw badRequest('Upgrade request required');
        return undefined;
    }
  };
}
