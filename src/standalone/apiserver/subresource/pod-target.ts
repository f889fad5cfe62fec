import type { Node, Pod } from 'kubernetes-types/core/v1.js';
import { badRequest, notFound } from '../status.ts';
import type { ApiObject } from '../kind.ts';
import type { Exchange } from '../http/exchange.ts';
import { getObject } from '../registry/list.ts';
import type { NodeTarget } from './node-proxy.ts';

const kubeletPort = 10_250;

export interface PodTarget {
  readonly pod: Pod;
  readonly target: NodeTarget;
}

/** The pod of a request and the node it runs on; 400 where it is on none. */
export async function podTarget({ deps, kind, route, caller }: Exchange): Promise<PodTarget> {
  const name = route.name ?? '';
  const pod = (await getObject(deps, kind, route.namespace, name, caller.signal)) as unknown as Pod;
  const nodeName = pod.spec?.nodeName;
  if (!nodeName) throw badRequest(`pod ${name} does not have a host assigned`);
  const node = deps.cache.of('core/nodes').get(nodeName) as (ApiObject & Node) | undefined;
  if (!node) throw notFound({ group: '', plural: 'nodes' }, nodeName);
  const host = node.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address;
  if (!host) throw badRequest(`node ${nodeName} has no address yet`);
  const port = node.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? kubeletPort;
  return { pod, target: { nodeName, host, port } };
}

/** The container that a request is for: named, the only one, or the one that the pod names its default. */
export function containerOf(pod: Pod, asked: string | null): string {
  const name = pod.metadata?.name ?? '';
  const names = (pod.spec?.containers ?? []).map((container) => container.name);
  const initNames = (pod.spec?.initContainers ?? []).map((container) => container.name);
  const ephemeral = (pod.spec?.ephemeralContainers ?? []).map((container) => container.name);
  if (asked) {
    if ([...names, ...initNames, ...ephemeral].includes(asked)) return asked;
    throw badRequest(`container ${asked} is not valid for pod ${name}`);
  }
  const [only] = names;
  if (names.length === 1 && only !== undefined) return only;
  const preferred = pod.metadata?.annotations?.['kubectl.kubernetes.io/default-container'];
  if (preferred !== undefined && names.includes(preferred)) return preferred;
  const inits = initNames.length > 0 ? ` or one of the init containers: [${initNames.join(' ')}]` : '';
  throw badRequest(
    `a container name must be specified for pod ${name}, choose one of: [${names.join(' ')}]${inits}`,
  );
}
