import { parseAllDocuments, type Tags } from 'yaml';
import type { KubeObject, ObjectRef, Resource, Stored } from '../api/resource.ts';
import { systemClock, type Clock } from '../lib/clock.ts';
import type { KubeClient } from './client.ts';
import { isKubeError, isNotFound } from './errors.ts';

/** A manifest that is no Kubernetes object; says which document and line. */
export class ManifestError extends Error {
  readonly code = 'MANIFEST';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ManifestError';
  }
}

/**
 * As kubectl reads YAML: 1.1, where `0400` is octal and `yes` a boolean, but without its dates and its
 * sixties (`12:30`), which are text.
 */
const asKubectl = (tags: Tags): Tags =>
  tags.filter(
    (tag) =>
      typeof tag === 'string' ||
      (tag.tag !== 'tag:yaml.org,2002:timestamp' && !('format' in tag && tag.format === 'TIME')),
  );

/** Every object of a YAML stream, Lists unfolded. `source` is named in errors. */
export function parseManifests(text: string, source: string): KubeObject[] {
  const objects: KubeObject[] = [];
  for (const [index, document] of parseAllDocuments(text, {
    version: '1.1',
    customTags: asKubectl,
  }).entries()) {
    const problem = document.errors[0];
    if (problem) throw new ManifestError(`${source}: ${problem.message}`, { cause: problem });
    const value = document.toJS() as (KubeObject & { items?: KubeObject[] }) | null;
    if (value === null) continue;
    if (typeof value !== 'object' || !value.apiVersion || !value.kind) {
      throw new ManifestError(`${source}: document ${index + 1} has no apiVersion and kind`);
    }
    objects.push(...(value.kind.endsWith('List') && Array.isArray(value.items) ? value.items : [value]));
  }
  return objects;
}

interface DiscoveredKind {
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

/** The served resource of an object's apiVersion and kind, or undefined where there is none. */
export async function discoverResource(
  client: KubeClient,
  object: KubeObject,
  signal: AbortSignal,
): Promise<Resource | undefined> {
  const [version = '', group = ''] = (object.apiVersion ?? '').split('/').toReversed();
  const path = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  try {
    const answer = (await client.request({ method: 'GET', path }, { signal })) as {
      resources?: readonly DiscoveredKind[];
    };
    const found = answer.resources?.find((one) => one.kind === object.kind && !one.name.includes('/'));
    return found && { group, version, kind: found.kind, plural: found.name, namespaced: found.namespaced };
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

export interface ApplyOptions {
  readonly fieldManager: string;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
  /** For objects that name no namespace; `default` where not said. */
  readonly namespace?: string;
  /** How long a kind may take to be served after its definition was applied. */
  readonly discoveryTimeoutMs?: number;
}

export interface Applied {
  readonly resource: Resource;
  readonly ref: ObjectRef;
  readonly object: Stored<KubeObject>;
}

/** Applies objects in their order by server-side apply, waiting for kinds that were only just defined. */
export async function applyManifests(
  client: KubeClient,
  objects: readonly KubeObject[],
  options: ApplyOptions,
): Promise<Applied[]> {
  const {
    signal,
    clock = systemClock,
    namespace = 'default',
    discoveryTimeoutMs = 10_000,
    fieldManager,
  } = options;
  const kinds = new Map<string, Resource>();
  const applied: Applied[] = [];
  for (const object of objects) {
    const key = `${object.apiVersion} ${object.kind}`;
    const giveUpMs = clock.now() + discoveryTimeoutMs;
    let found = kinds.get(key);
    while (!found) {
      found = await discoverResource(client, object, signal);
      if (found) kinds.set(key, found);
      else if (clock.now() > giveUpMs)
        throw new ManifestError(`the API serves no ${object.kind} of ${object.apiVersion}`);
      else await clock.sleep(50, signal);
    }
    const placed: KubeObject = found.namespaced
      ? { ...object, metadata: { namespace, ...object.metadata } }
      : object;
    const ref = { namespace: placed.metadata?.namespace, name: placed.metadata?.name ?? '' };
    try {
      applied.push({
        resource: found,
        ref,
        object: await client.apply(found, placed, { fieldManager, signal }),
      });
    } catch (cause) {
      if (!isKubeError(cause)) throw cause;
      throw new ManifestError(`${object.kind} ${ref.name}: ${cause.message}`, { cause });
    }
  }
  return applied;
}
