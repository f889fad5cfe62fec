import type { Pod } from 'kubernetes-types/core/v1.js';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { DNSConfigSchema, PodSandboxConfigSchema } from '../../gen/runtime/v1/api_pb.js';
import { namespaceOptions, seccompProfile } from './container-config.ts';
import { podNameLabel, podNamespaceLabel, podUidLabel, priorityAnnotation } from './cri-labels.ts';

export type SandboxConfig = MessageInitShape<typeof PodSandboxConfigSchema>;

export interface SandboxInputs {
  readonly pod: Pod;
  readonly attempt: number;
  readonly nodeName: string;
  /** Where the pod's containers write their logs. */
  readonly logDirectory: string;
  /** ClusterIP of kube-system/kube-dns, where there is one. */
  readonly clusterDns: string | undefined;
  /** The node's own /etc/resolv.conf. */
  readonly nodeResolv: ResolvConf;
}

export interface ResolvConf {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

const clusterDomain = 'cluster.local';

export function sandboxConfig(inputs: SandboxInputs): SandboxConfig {
  const { pod, attempt } = inputs;
  const meta = pod.metadata ?? {};
  const spec = pod.spec;
  const sysctls = Object.fromEntries(
    (spec?.securityContext?.sysctls ?? []).map((one) => [one.name, one.value]),
  );
  return {
    metadata: { name: meta.name ?? '', namespace: meta.namespace ?? '', uid: meta.uid ?? '', attempt },
    // The runtime sets no host name in the node's own UTS namespace, and refuses one that differs.
    hostname: spec?.hostNetwork ? '' : hostnameOf(pod),
    logDirectory: inputs.logDirectory,
    dnsConfig: dnsConfig(inputs),
    labels: {
      ...meta.labels,
      [podNameLabel]: meta.name ?? '',
      [podNamespaceLabel]: meta.namespace ?? '',
      [podUidLabel]: meta.uid ?? '',
    },
    annotations: { ...meta.annotations, [priorityAnnotation]: String(spec?.priority ?? 0) },
    linux: {
      sysctls,
      securityContext: {
        privileged: [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].some(
          (container) => container.securityContext?.privileged,
        ),
        namespaceOptions: namespaceOptions(pod),
        seccomp: seccompProfile(undefined),
      },
    },
  };
}

/** A pod's host name: its own wish, else its name, cut to what a host name may have. */
export function hostnameOf(pod: Pod): string {
  const name = pod.spec?.hostname ?? pod.metadata?.name ?? '';
  return name.slice(0, 63).replace(/[-.]+$/, '');
}

function dnsConfig({ pod, clusterDns, nodeResolv }: SandboxInputs): MessageInitShape<typeof DNSConfigSchema> {
  const spec = pod.spec;
  const policy = spec?.dnsPolicy ?? 'ClusterFirst';
  const wantsCluster =
    policy === 'ClusterFirstWithHostNet' || (policy === 'ClusterFirst' && !spec?.hostNetwork);
  let base: ResolvConf = nodeResolv;
  if (policy === 'None') base = { servers: [], searches: [], options: [] };
  else if (wantsCluster && clusterDns !== undefined) {
    const namespace = pod.metadata?.namespace ?? 'default';
    base = {
      servers: [clusterDns],
      searches: [
        `${namespace}.svc.${clusterDomain}`,
        `svc.${clusterDomain}`,
        clusterDomain,
        ...nodeResolv.searches,
      ],
      options: ['ndots:5'],
    };
  }
  const extra = spec?.dnsConfig;
  const unique = (items: readonly string[]) => [...new Set(items)];
  const options = new Map(base.options.map((option) => [option.split(':')[0] as string, option]));
  for (const { name, value } of extra?.options ?? [])
    if (name) options.set(name, value === undefined ? name : `${name}:${value}`);
  return {
    servers: unique([...base.servers, ...(extra?.nameservers ?? [])]),
    searches: unique([...base.searches, ...(extra?.searches ?? [])]),
    options: [...options.values()],
  };
}

/** Reads what of /etc/resolv.conf a sandbox can be given. */
export function parseResolvConf(text: string): ResolvConf {
  const lines = text.split('\n').map((line) => line.trim().split(/\s+/));
  const last = (key: string) => lines.findLast(([first]) => first === key)?.slice(1) ?? [];
  return {
    servers: lines
      .flatMap(([first, server]) => (first === 'nameserver' && server ? [server] : []))
      .slice(0, 3),
    searches: last('search'),
    options: last('options'),
  };
}
