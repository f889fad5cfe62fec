import type { Service, ServicePort } from 'kubernetes-types/core/v1.js';
import type { EndpointSlice } from 'kubernetes-types/discovery/v1.js';
import { createHash } from 'node:crypto';

export interface ServiceRulesInput {
  readonly services: readonly Service[];
  readonly slices: readonly EndpointSlice[];
  readonly serviceCidr: string;
  readonly podCidr: string;
  readonly nodeName: string;
}

interface Backend {
  readonly ip: string;
  readonly port: number;
}

/** One address and port that is translated, or refused where it has no backends. */
interface Front {
  readonly service: string;
  readonly ip: string;
  readonly port: number;
  readonly protocol: string;
  readonly backends: readonly Backend[];
  readonly affinitySeconds: number | undefined;
}

const maxBackends = 256;
const defaultAffinitySeconds = 10_800;

/**
 * The whole nat and filter tables of a node, as iptables-restore reads them: each ClusterIP and port is
 * translated to one of its ready endpoints, and whatever else of the service range is asked for is
 * refused, not lost. Equal input gives equal text.
 */
export function serviceRules(input: ServiceRulesInput): string {
  const fronts = frontsOf(input);
  const nat: string[] = [];
  const chains: string[] = [];
  const rejects: string[] = [];
  for (const front of fronts) {
    const match = `-d ${front.ip}/32 -p ${front.protocol} -m ${front.protocol} --dport ${front.port}`;
    if (front.backends.length === 0) {
      rejects.push(`-A HF-REJECT ${match} -j REJECT --reject-with icmp-port-unreachable`);
      continue;
    }
    const chain = chainName('HF-SVC-', `${front.service} ${front.ip} ${front.protocol} ${front.port}`);
    chains.push(chain);
    nat.push(`-A HF-SERVICES ${match} -j ${chain}`);
    nat.push(...backendRules(chain, front, chains));
  }
  return [
    '*nat',
    ':PREROUTING ACCEPT [0:0]',
    ':INPUT ACCEPT [0:0]',
    ':OUTPUT ACCEPT [0:0]',
    ':POSTROUTING ACCEPT [0:0]',
    ':HF-SERVICES - [0:0]',
    ':HF-POSTROUTING - [0:0]',
    ...chains.map((chain) => `:${chain} - [0:0]`),
    `-A PREROUTING -d ${input.serviceCidr} -j HF-SERVICES`,
    `-A OUTPUT -d ${input.serviceCidr} -j HF-SERVICES`,
    '-A POSTROUTING -j HF-POSTROUTING',
    ...nat,
    // A pod that reaches itself, or a neighbour behind the same node, through a ClusterIP: the answer must
    // come back through the node to be translated back.
    `-A HF-POSTROUTING -s ${input.podCidr} -d ${input.podCidr} -m conntrack --ctstate DNAT -j MASQUERADE`,
    'COMMIT',
    '*filter',
    ':INPUT ACCEPT [0:0]',
    ':FORWARD ACCEPT [0:0]',
    ':OUTPUT ACCEPT [0:0]',
    ':HF-REJECT - [0:0]',
    `-A FORWARD -d ${input.serviceCidr} -j HF-REJECT`,
    `-A OUTPUT -d ${input.serviceCidr} -j HF-REJECT`,
    ...rejects,
    '-A HF-REJECT -p tcp -j REJECT --reject-with tcp-reset',
    '-A HF-REJECT -j REJECT --reject-with icmp-port-unreachable',
    'COMMIT',
    '',
  ].join('\n');
}

function backendRules(chain: string, front: Front, chains: string[]): string[] {
  const rules: string[] = [];
  const { backends, protocol, affinitySeconds } = front;
  const dnat = (backend: Backend) =>
    `-p ${protocol} -m ${protocol} -j DNAT --to-destination ${target(backend)}`;
  if (affinitySeconds === undefined) {
    backends.forEach((backend, at) =>
      rules.push(`-A ${chain} ${share(backends.length - at)}${dnat(backend)}`),
    );
    return rules;
  }
  const ends = backends.map((backend) => chainName('HF-SEP-', `${chain} ${target(backend)}`));
  chains.push(...ends);
  for (const end of ends)
    rules.push(`-A ${chain} -m recent --name ${end} --rcheck --seconds ${affinitySeconds} --reap -j ${end}`);
  ends.forEach((end, at) => rules.push(`-A ${chain} ${share(ends.length - at)}-j ${end}`));
  backends.forEach((backend, at) =>
    rules.push(
      `-A ${ends[at]} -m recent --name ${ends[at]} --set -p ${protocol} -m ${protocol} -j DNAT --to-destination ${target(backend)}`,
    ),
  );
  return rules;
}

/** The nth-last of several takes its fair share of what reaches it; the last takes all. */
const share = (left: number): string =>
  left === 1 ? '' : `-m statistic --mode random --probability ${(1 / left).toFixed(10)} `;

const target = ({ ip, port }: Backend): string => `${ip}:${port}`;

const chainName = (prefix: string, text: string): string =>
  prefix +
  createHash('sha256').update(text).digest('base64url').replaceAll(/[-_]/g, 'X').slice(0, 16).toUpperCase();

function frontsOf({ services, slices, nodeName }: ServiceRulesInput): Front[] {
  const byService = new Map<string, EndpointSlice[]>();
  for (const slice of slices) {
    if (slice.addressType !== 'IPv4') continue;
    const key = `${slice.metadata?.namespace}/${slice.metadata?.labels?.['kubernetes.io/service-name']}`;
    byService.set(key, [...(byService.get(key) ?? []), slice]);
  }
  const fronts: Front[] = [];
  for (const service of services) {
    const key = `${service.metadata?.namespace}/${service.metadata?.name}`;
    const { spec } = service;
    const ip = spec?.clusterIP;
    if (!ip || !isIpv4(ip) || spec?.type === 'ExternalName') continue;
    const affinitySeconds =
      spec?.sessionAffinity === 'ClientIP'
        ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? defaultAffinitySeconds)
        : undefined;
    for (const port of spec?.ports ?? []) {
      const protocol = (port.protocol ?? 'TCP').toLowerCase();
      if (protocol !== 'tcp' && protocol !== 'udp') continue;
      const found = backendsOf(service, port, byService.get(key) ?? [], nodeName);
      const unique = [...new Map(found.map((one) => [target(one), one])).values()];
      unique.sort((a, b) => (target(a) < target(b) ? -1 : 1));
      const backends = unique.slice(0, maxBackends);
      fronts.push({ service: key, ip, port: port.port, protocol, backends, affinitySeconds });
    }
  }
  return fronts.sort((a, b) => (frontKey(a) < frontKey(b) ? -1 : 1));
}

const frontKey = (front: Front): string => `${front.service} ${front.ip} ${front.protocol} ${front.port}`;

const isIpv4 = (text: string): boolean => /^\d+\.\d+\.\d+\.\d+$/.test(text);

function backendsOf(
  service: Service,
  port: ServicePort,
  slices: readonly EndpointSlice[],
  nodeName: string,
): Backend[] {
  const local = service.spec?.internalTrafficPolicy === 'Local';
  const ready: Backend[] = [];
  const terminating: Backend[] = [];
  for (const slice of slices) {
    const slicePort = (slice.ports ?? []).find(
      (one) => (one.name ?? '') === (port.name ?? '') && (one.protocol ?? 'TCP') === (port.protocol ?? 'TCP'),
    );
    if (slicePort?.port === undefined) continue;
    for (const endpoint of slice.endpoints) {
      if (local && endpoint.nodeName !== nodeName) continue;
      const { conditions } = endpoint;
      for (const ip of endpoint.addresses.filter(isIpv4)) {
        const backend = { ip, port: slicePort.port };
        if (conditions?.ready !== false) ready.push(backend);
        else if (conditions.serving && conditions.terminating) terminating.push(backend);
      }
    }
  }
  // With none ready, one that still serves while it ends is better than a refusal.
  return ready.length > 0 ? ready : terminating;
}
