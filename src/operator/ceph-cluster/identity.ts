import { randomUUID } from 'node:crypto';
import type { Secret } from 'kubernetes-types/core/v1.js';
import { ConfigMaps, Secrets } from '../../api/core.ts';
import type { Stored } from '../../api/resource.ts';
import { formatKeyring } from '../../ceph/auth.ts';
import { newCephxKey } from '../../ceph/cephx-key.ts';
import type { CephConnection } from '../../ceph/seam.ts';
import type { KubeClient } from '../../kube/client.ts';
import { adminCaps, keyInKeyring, mgrCaps } from './keyring.ts';
import { endpointsName } from './endpoints.ts';
import type { ClusterWork } from './work.ts';

/** What makes a cluster this cluster. Made once; a lost copy would lose the data. */
export interface ClusterIdentity {
  readonly fsid: string;
  readonly adminKey: string;
  readonly monKey: string;
  /** Keys of mgr daemons by letter. */
  readonly mgrKeys: ReadonlyMap<string, string>;
  /** True until the mons were reached once: OSD numbers are all free, and the operator may give them out itself. */
  readonly fresh: boolean;
}

const identityName = 'rook-ceph-mon';
const freshAnnotation = 'holdfast.io/never-connected';
const mgrLetters = ['a', 'b', 'c', 'd', 'e'];

/**
 * Reads the cluster’s keys, or makes them, under Rook’s names: Secret `rook-ceph-mon`, the mons’ keyring
 * and the mgrs’. `rook-ceph-mon` is created first and decides: everything else is derived from it, so a
 * crash in between continues with the same keys.
 */
export async function ensureIdentity(work: ClusterWork): Promise<ClusterIdentity> {
  const { namespace, objects, signal, owner } = work;
  const newKey = () => newCephxKey(work.clock.now(), work.random);
  const adminKey = newKey();
  const secret = await objects.createLasting(
    Secrets,
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        name: identityName,
        namespace,
        ownerReferences: [owner],
        annotations: { [freshAnnotation]: 'true' },
      },
      type: 'kubernetes.io/rook',
      data: encoded({
        'cluster-name': namespace,
        fsid: randomUUID({ disableEntropyCache: true }),
        'ceph-username': 'client.admin',
        'ceph-secret': adminKey,
        'admin-secret': adminKey,
        'mon-secret': newKey(),
        ...Object.fromEntries(mgrLetters.map((letter) => [`mgr-${letter}-secret`, newKey()])),
      }),
    },
    signal,
  );
  return await identityIn(work, secret);
}

/** The keys that a cluster was given, or undefined where it never got as far; makes none. */
export async function readIdentity(work: ClusterWork): Promise<ClusterIdentity | undefined> {
  const secret = await work.objects.get(
    Secrets,
    { namespace: work.namespace, name: identityName },
    work.signal,
  );
  return secret && (await identityIn(work, secret));
}

/** Whether the mons were ever reached: before that nothing can have been made in the cluster. */
export async function everConnected(
  kube: KubeClient,
  namespace: string,
  signal: AbortSignal,
): Promise<boolean> {
  const secret = await kube.get(Secrets, { namespace, name: identityName }, { signal });
  if (secret) return secret.metadata.annotations?.[freshAnnotation] !== 'true';
  // Without the Secret, a record of mons says that there was one.
  return (await kube.get(ConfigMaps, { namespace, name: endpointsName }, { signal })) !== undefined;
}

async function identityIn(work: ClusterWork, secret: Stored<Secret>): Promise<ClusterIdentity> {
  const read = (key: string) => Buffer.from(secret.data?.[key] ?? '', 'base64').toString();
  const fsid = read('fsid');
  const monKey = read('mon-secret');
  // Rook’s older Secrets have only admin-secret.
  const admin = read('ceph-secret') || read('admin-secret');
  if (!fsid || !admin) throw new Error('Secret rook-ceph-mon lacks fsid or ceph-secret');

  const mgrKeys = new Map<string, string>();
  for (const letter of mgrLetters) {
    const key = read(`mgr-${letter}-secret`) || (await keyOfMgr(work, letter));
    if (key) mgrKeys.set(letter, key);
  }
  const fresh = secret.metadata.annotations?.[freshAnnotation] === 'true';
  return { fsid, adminKey: admin, monKey, mgrKeys, fresh };
}

async function keyOfMgr(work: ClusterWork, letter: string): Promise<string | undefined> {
  const ref = { namespace: work.namespace, name: `rook-ceph-mgr-${letter}-keyring` };
  const secret = await work.objects.get(Secrets, ref, work.signal);
  const keyring = Buffer.from(secret?.data?.['keyring'] ?? '', 'base64').toString();
  return keyInKeyring(keyring, `mgr.${letter}`);
}

/** How the operator itself reaches the cluster. */
export const adminConnection = (identity: ClusterIdentity, monHost: string): CephConnection => ({
  monHost,
  user: 'client.admin',
  key: identity.adminKey,
  fsid: identity.fsid,
});

/** Secrets and ConfigMaps that daemons mount, all derived from the identity. */
export async function ensureKeyrings(work: ClusterWork, identity: ClusterIdentity): Promise<void> {
  const { objects, signal } = work;
  const admin = { entity: 'client.admin', key: identity.adminKey, caps: adminCaps };
  const mgrs = [...identity.mgrKeys].map(([letter, key]) => ({
    entity: `mgr.${letter}`,
    key,
    caps: mgrCaps,
  }));
  const wanted = mgrNames(work).map((letter) => `mgr.${letter}`);
  const secrets = [
    // The mons’ first keyring carries the mgrs too, so that they start beside the mons.
    keyringSecret(
      work,
      'rook-ceph-mons-keyring',
      formatKeyring([{ entity: 'mon.', key: identity.monKey, caps: { mon: 'allow *' } }, admin, ...mgrs]),
    ),
    keyringSecret(work, 'rook-ceph-admin-keyring', formatKeyring([admin])),
    ...mgrs
      .filter((mgr) => wanted.includes(mgr.entity))
      .map((mgr) =>
        keyringSecret(work, `rook-ceph-${mgr.entity.replace('.', '-')}-keyring`, formatKeyring([mgr])),
      ),
  ];
  await Promise.all([
    ...secrets.map((secret) => objects.ensure(Secrets, secret, signal)),
    // The user’s own file: made empty, never written again.
    objects.createLasting(
      ConfigMaps,
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'rook-config-override', namespace: work.namespace, ownerReferences: [work.owner] },
        data: { config: '' },
      },
      signal,
    ),
  ]);
}

/** Letters of the mgrs asked for. */
export function mgrNames(work: Pick<ClusterWork, 'cluster'>): string[] {
  return mgrLetters.slice(0, Math.max(1, work.cluster.spec.mgr?.count ?? 1));
}

/** The mons were reached: from now on only Ceph gives out OSD numbers. */
export async function markConnected(work: ClusterWork): Promise<void> {
  await work.objects.merge(
    Secrets,
    { namespace: work.namespace, name: identityName },
    { metadata: { annotations: { [freshAnnotation]: null } } },
    work.signal,
  );
}

const keyringSecret = (work: ClusterWork, name: string, keyring: string): Secret => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace: work.namespace, ownerReferences: [work.owner] },
  type: 'kubernetes.io/rook',
  data: encoded({ keyring }),
});

/** Values as a Secret’s data. */
export const encoded = (values: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
  );
