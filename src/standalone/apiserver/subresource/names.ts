import type { KindInfo } from '../kind.ts';

export interface NamedSubresource {
  readonly name: string;
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly verbs: readonly string[];
}

const core = (name: string, kind: string, verbs: readonly string[]): NamedSubresource => ({
  name,
  group: '',
  version: 'v1',
  kind,
  verbs,
});

const streams = ['create', 'get'];
const byPlural: Readonly<Record<string, readonly NamedSubresource[]>> = {
  pods: [
    core('attach', 'PodAttachOptions', streams),
    core('binding', 'Binding', ['create']),
    { name: 'eviction', group: 'policy', version: 'v1', kind: 'Eviction', verbs: ['create'] },
    core('exec', 'PodExecOptions', streams),
    core('log', 'Pod', ['get']),
    core('portforward', 'PodPortForwardOptions', streams),
  ],
  serviceaccounts: [
    { name: 'token', group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest', verbs: ['create'] },
  ],
  namespaces: [core('finalize', 'Namespace', ['update'])],
};

/** The subresources of core kinds beyond status and scale. */
export const extraSubresources = (kind: Pick<KindInfo, 'group' | 'plural'>): readonly NamedSubresource[] =>
  kind.group === '' ? (byPlural[kind.plural] ?? []) : [];
