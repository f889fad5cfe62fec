import type { ControllerRevision } from 'kubernetes-types/apps/v1.js';
import type { PodTemplateSpec } from 'kubernetes-types/core/v1.js';
import type { LabelSelector } from 'kubernetes-types/meta/v1.js';
import { ControllerRevisions } from '../../api/core.ts';
import { refOf, type KubeObject, type Stored } from '../../api/resource.ts';
import { isAlreadyExists } from '../../kube/errors.ts';
import { controllerReference } from '../../kube/owner-reference.ts';
import { patchDifference } from '../../kube/patch.ts';
import { claimIndexes, claimObjects } from './claim.ts';
import type { Environment } from './environment.ts';
import { meaningOf, templateHash } from './pod-template.ts';

export const revisionHashLabel = 'controller-revision-hash';

type Owner = Stored<KubeObject & { spec?: { template?: PodTemplateSpec; selector?: LabelSelector } }>;

export const revisionCache = ({ caches }: Environment) => caches.cache(ControllerRevisions, {}, claimIndexes);

/** The template as kubectl's rollout commands patch it back. */
const dataOf = (template: PodTemplateSpec | undefined) => ({
  spec: { template: { ...template, $patch: 'replace' } },
});

export interface Revisions {
  readonly current: Stored<ControllerRevision>;
  readonly old: readonly Stored<ControllerRevision>[];
}

/**
 * The revision of the owner's present template, made where there is none; one that was there before gets
 * the highest number again, which is what a rollback is.
 */
export async function ensureRevision(
  environment: Environment,
  owner: Owner,
  signal: AbortSignal,
): Promise<Revisions> {
  const { client } = environment;
  const cache = revisionCache(environment);
  const selector = owner.spec?.selector;
  const all = await claimObjects(
    { client, resource: ControllerRevisions, cache, owner, selector },
    { signal },
  );
  const data = dataOf(owner.spec?.template);
  const text = meaningOf(data);
  const highest = Math.max(0, ...all.map((one) => one.revision));
  const same = all.filter((one) => meaningOf(one.data) === text).sort((a, b) => b.revision - a.revision)[0];
  const old = all.filter((one) => one.metadata.uid !== same?.metadata.uid);
  if (same) {
    if (same.revision === highest) return { current: same, old };
    const raised = await patchDifference(
      client,
      ControllerRevisions,
      same,
      { ...same, revision: highest + 1 },
      { signal },
    );
    cache.remember(raised);
    return { current: raised, old };
  }
  for (let collisions = 0; ; collisions++) {
    const hash = templateHash(data, collisions);
    const name = `${owner.metadata.name}-${hash}`;
    const namespace = owner.metadata.namespace ?? '';
    const wanted: ControllerRevision = {
      metadata: {
        name,
        namespace,
        labels: { ...owner.spec?.template?.metadata?.labels, [revisionHashLabel]: hash },
        ownerReferences: [controllerReference(owner)],
      },
      data: data as never,
      revision: highest + 1,
    };
    try {
      const current = await client.create(ControllerRevisions, wanted, { signal });
      cache.remember(current);
      return { current, old };
    } catch (error) {
      if (!isAlreadyExists(error) || collisions > 10) throw error;
      const present = await client.get(ControllerRevisions, { namespace, name }, { signal });
      if (present && meaningOf(present.data) === text) return { current: present, old };
    }
  }
}

/** Removes the oldest revisions that no pod uses, past the limit. */
export async function pruneRevisions(
  { client }: Environment,
  revisions: Revisions,
  used: ReadonlySet<string>,
  limit: number,
  signal: AbortSignal,
): Promise<void> {
  const unused = revisions.old
    .filter((one) => !used.has(one.metadata.labels?.[revisionHashLabel] ?? ''))
    .sort((a, b) => a.revision - b.revision);
  for (const one of unused.slice(0, Math.max(0, revisions.old.length - limit))) {
    await client.delete(ControllerRevisions, refOf(one), { signal, uid: one.metadata.uid });
  }
}
