import type { Resource } from '../../api/resource.ts';
import type { CallOptions, KubeClient } from '../../kube/client.ts';

export interface Discovered {
  /** Each kind once, in its group's preferred version where that has it. */
  readonly resources: readonly DiscoveredResource[];
  /** Groups whose kinds could not be read: nobody may conclude that they have no objects. */
  readonly failed: readonly string[];
}

export interface DiscoveredResource extends Resource {
  readonly verbs: readonly string[];
}

interface GroupList {
  groups?: {
    name?: string;
    preferredVersion?: { version?: string };
    versions?: { version?: string }[];
  }[];
}
interface ResourceList {
  resources?: { name?: string; kind?: string; namespaced?: boolean; verbs?: string[] }[];
}

/** What the API serves now, custom kinds included. */
export async function discover(client: KubeClient, options: CallOptions): Promise<Discovered> {
  const list = (await client.request({ method: 'GET', path: '/apis' }, options)) as GroupList;
  const found = new Map<string, DiscoveredResource>();
  const failed: string[] = [];
  const read = async (group: string, version: string) => {
    const path = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
    const answer = (await client.request({ method: 'GET', path }, options)) as ResourceList;
    for (const one of answer.resources ?? []) {
      const { name = '', kind = '', namespaced = false, verbs = [] } = one;
      const key = `${group}/${name}`;
      if (name.includes('/') || found.has(key)) continue; // A subresource, or known in a better version.
      found.set(key, { group, version, kind, plural: name, namespaced, verbs });
    }
  };
  await read('', 'v1');
  for (const group of list.groups ?? []) {
    const preferred = group.preferredVersion?.version;
    const versions = [preferred, ...(group.versions ?? []).map((one) => one.version)];
    try {
      for (const version of new Set(versions)) if (version) await read(group.name ?? '', version);
    } catch (error) {
      options.signal.throwIfAborted();
      failed.push(`${group.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { resources: [...found.values()], failed };
}

export const canAll = (resource: DiscoveredResource, verbs: readonly string[]): boolean =>
  verbs.every((verb) => resource.verbs.includes(verb));
