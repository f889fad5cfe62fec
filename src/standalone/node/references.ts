import { ConfigMaps, PersistentVolumeClaims, Secrets } from '../../api/core.ts';
import type { Resource } from '../../api/resource.ts';
import { watchResource } from '../../kube/watcher.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';

export type ReferenceKind = 'configmap' | 'secret' | 'claim';
export type DataKind = Exclude<ReferenceKind, 'claim'>;
export type ReferenceData = ReadonlyMap<string, Buffer>;

/** ConfigMaps, Secrets and claims that this node's pods name. Nothing of them is kept in memory. */
export interface PodReferences {
  /** Its keys, newest from the API, or undefined where there is none. */
  data(
    kind: DataKind,
    namespace: string,
    name: string,
    signal: AbortSignal,
  ): Promise<ReferenceData | undefined>;
  /** Watches these namespaces from now on, and no others. */
  follow(namespaces: ReadonlySet<string>): void;
  close(): void;
}

export interface ReferencesDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  onChange(kind: ReferenceKind, namespace: string, name: string): void;
}

const readMs = 10_000;
const resources: Readonly<Record<ReferenceKind, Resource>> = {
  configmap: ConfigMaps,
  secret: Secrets,
  claim: PersistentVolumeClaims,
};

export function podReferences({ client, clock, log, onChange }: ReferencesDeps): PodReferences {
  const followed = new Map<string, AbortController>();
  const watch = async (kind: ReferenceKind, namespace: string, signal: AbortSignal) => {
    const resource = resources[kind];
    let listed = false;
    for await (const event of watchResource(client, resource, { namespace }, { clock, signal, log })) {
      if (event.type === 'initDone') listed = true;
      // The first list is what the pods were mounted with; a later one may hold what we missed.
      else if (event.type === 'apply' || event.type === 'delete' || (event.type === 'initApply' && listed))
        onChange(kind, namespace, event.object.metadata.name);
    }
  };
  return {
    async data(kind, namespace, name, signal) {
      const ref = { namespace, name };
      const options = { signal, timeoutMs: readMs };
      const result = new Map<string, Buffer>();
      if (kind === 'secret') {
        const secret = await client.get(Secrets, ref, options);
        if (!secret) return undefined;
        for (const [key, value] of Object.entries(secret.data ?? {}))
          result.set(key, Buffer.from(value, 'base64'));
        return result;
      }
      const map = await client.get(ConfigMaps, ref, options);
      if (!map) return undefined;
      for (const [key, value] of Object.entries(map.data ?? {})) result.set(key, Buffer.from(value));
      for (const [key, value] of Object.entries(map.binaryData ?? {}))
        result.set(key, Buffer.from(value, 'base64'));
      return result;
    },
    follow(namespaces) {
      for (const [namespace, controller] of followed) {
        if (namespaces.has(namespace)) continue;
        controller.abort();
        followed.delete(namespace);
      }
      for (const namespace of namespaces) {
        if (followed.has(namespace)) continue;
        const controller = new AbortController();
        followed.set(namespace, controller);
        for (const kind of ['configmap', 'secret', 'claim'] as const)
          watch(kind, namespace, controller.signal).catch((err: unknown) =>
            log.error({ err, kind, namespace }, 'following references ended'),
          );
      }
    },
    close() {
      for (const controller of followed.values()) controller.abort();
      followed.clear();
    },
  };
}
