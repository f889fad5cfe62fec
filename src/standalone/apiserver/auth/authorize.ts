import type { UserInfo } from '../registry/request.ts';
import type { WatchCache } from '../registry/watch-cache.ts';
import { ApiError, forbidden } from '../status.ts';
import type { Attempt } from './access.ts';
import type { Rbac } from './rbac.ts';
import type { Need } from './rules.ts';

/** What a request needs: a list or watch of one name counts as that name. */
export function needOf(attempt: Attempt): Need {
  if ('path' in attempt) return { verb: attempt.verb, path: attempt.path };
  const { route, verb, query } = attempt;
  const single = /^metadata\.name==?([^,=!]+)$/.exec(query.get('fieldSelector') ?? '');
  return {
    verb,
    group: route.group,
    resource: route.subresource === '' ? route.plural : `${route.plural}/${route.subresource}`,
    name: route.name ?? single?.[1] ?? '',
    // A namespace is in itself, so that who rules in it may read it.
    namespace: route.group === '' && route.plural === 'namespaces' ? route.name : route.namespace,
  };
}

/** `User "x" cannot list resource "pods" in API group "" in the namespace "y"`. */
export function refusalText(user: UserInfo, need: Need): string {
  if ('path' in need) return `User "${user.name}" cannot ${need.verb} path "${need.path}"`;
  const where =
    need.namespace === undefined ? 'at the cluster scope' : `in the namespace "${need.namespace}"`;
  return `User "${user.name}" cannot ${need.verb} resource "${need.resource}" in API group "${need.group}" ${where}`;
}

/** 403 unless a role allows it. */
export function authorizer(rbac: Rbac, cache: WatchCache) {
  return async (user: UserInfo, attempt: Attempt, signal: AbortSignal): Promise<void> => {
    const need = needOf(attempt);
    if (rbac.allows(user, need)) return;
    // The role may have been given in the write just before.
    await cache.fresh(signal);
    if (rbac.allows(user, need)) return;
    const text = refusalText(user, need);
    if ('path' in attempt) throw new ApiError(403, 'Forbidden', `forbidden: ${text}`);
    const { group, plural, name = '' } = attempt.route;
    throw forbidden({ group, plural }, name, text);
  };
}
