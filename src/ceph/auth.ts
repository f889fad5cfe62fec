import { z } from 'zod';
import { isCephError } from './errors.ts';
import type { Ceph } from './seam.ts';

/** `{ mon: 'profile rbd', osd: 'profile rbd pool=p' }` */
export type Caps = Readonly<Record<string, string>>;

/** A cephx user. `key` is a secret: never logged, never in an argument list. */
export interface AuthEntity {
  /** `client.csi-rbd-node` */
  readonly entity: string;
  readonly key: string;
  readonly caps: Caps;
}

const EntityAnswer = z.object({
  entity: z.string(),
  key: z.string(),
  caps: z.record(z.string(), z.string()),
});
const capArgs = (caps: Caps) => Object.entries(caps).flat();
const sameCaps = (a: Caps, b: Caps) =>
  Object.keys(a).length === Object.keys(b).length &&
  Object.entries(a).every(([service, cap]) => b[service] === cap);

/** Undefined where there is no such user. */
export async function readEntity(
  ceph: Ceph,
  entity: string,
  signal: AbortSignal,
): Promise<AuthEntity | undefined> {
  try {
    const [found] = await ceph.mon({ prefix: 'auth get', entity }, z.array(EntityAnswer).min(1), { signal });
    return found;
  } catch (error) {
    if (isCephError(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** A user with exactly these caps: made where absent, its caps set right where they differ, its key kept. */
export async function ensureEntity(
  ceph: Ceph,
  entity: string,
  caps: Caps,
  signal: AbortSignal,
): Promise<AuthEntity> {
  const existing = await readEntity(ceph, entity, signal);
  if (!existing) {
    const [made] = await ceph.mon(
      { prefix: 'auth get-or-create', entity, caps: capArgs(caps) },
      z.array(EntityAnswer).min(1),
      { signal },
    );
    return made as AuthEntity;
  }
  if (!sameCaps(existing.caps, caps)) {
    await ceph.mon({ prefix: 'auth caps', entity, caps: capArgs(caps) }, z.unknown(), { signal });
  }
  return { ...existing, caps };
}

/** Puts in a user with a key that was made elsewhere, replacing one of that name. The key goes by input. */
export async function importEntity(ceph: Ceph, user: AuthEntity, signal: AbortSignal): Promise<void> {
  await ceph.mon({ prefix: 'auth import' }, z.unknown(), { signal, input: formatKeyring([user]) });
}

/** Idempotent. */
export async function removeEntity(ceph: Ceph, entity: string, signal: AbortSignal): Promise<void> {
  await ceph.mon({ prefix: 'auth rm', entity }, z.unknown(), { signal });
}

/** Every user and its caps, without the keys. */
export async function listEntities(
  ceph: Ceph,
  signal: AbortSignal,
): Promise<readonly Omit<AuthEntity, 'key'>[]> {
  const answer = await ceph.mon({ prefix: 'auth ls' }, z.object({ auth_dump: z.array(EntityAnswer) }), {
    signal,
  });
  return answer.auth_dump.map(({ entity, caps }) => ({ entity, caps }));
}

/** The keyring file format, for files of mode 0600. */
export const formatKeyring = (users: readonly AuthEntity[]): string =>
  users
    .map(({ entity, key, caps }) => {
      const lines = Object.entries(caps).map(([service, cap]) => `\tcaps ${service} = "${cap}"\n`);
      return `[${entity}]\n\tkey = ${key}\n${lines.join('')}`;
    })
    .join('');
