import type { IncomingMessage } from 'node:http';
import type { UserInfo } from '../registry/request.ts';
import { badRequest, forbidden } from '../status.ts';
import { authenticatedGroup } from './access.ts';
import { refusalText } from './authorize.ts';
import type { Rbac } from './rbac.ts';

const accountPrefix = 'system:serviceaccount:';

const texts = (value: string | string[] | undefined): string[] =>
  value === undefined ? [] : [value].flat().flatMap((text) => text.split(',').map((part) => part.trim()));

/** The user that a request wants to act as (`kubectl --as`), where its own user may `impersonate` it. */
export function impersonated(rbac: Rbac, user: UserInfo, req: IncomingMessage): UserInfo {
  const [name] = texts(req.headers['impersonate-user']);
  const asked = texts(req.headers['impersonate-group']);
  if (!name) {
    if (asked.length > 0) throw badRequest('requested groups without impersonating a user');
    return user;
  }
  const check = (resource: string, wanted: string, namespace?: string) => {
    const need = { verb: 'impersonate', group: '', resource, name: wanted, namespace };
    if (!rbac.allows(user, need))
      throw forbidden({ group: '', plural: resource }, wanted, refusalText(user, need));
  };
  const [namespace, account] = name.startsWith(accountPrefix)
    ? name.slice(accountPrefix.length).split(':')
    : [];
  if (namespace !== undefined && account !== undefined) check('serviceaccounts', account, namespace);
  else check('users', name);
  for (const group of asked) check('groups', group);
  const implied =
    namespace === undefined ? [] : ['system:serviceaccounts', `system:serviceaccounts:${namespace}`];
  return { name, groups: [...new Set([...(asked.length > 0 ? asked : implied), authenticatedGroup])] };
}
