import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { UserInfo } from '../registry/request.ts';
import type { WatchCache } from '../registry/watch-cache.ts';
import { unauthorized } from '../status.ts';
import { anonymousUser, authenticatedGroup } from './access.ts';
import type { ServiceAccountTokens } from './service-account-token.ts';

// What a client may learn before it says who it is, as with Kubernetes.
const openPaths = new Set(['/healthz', '/livez', '/readyz', '/version']);

const texts = (value: string | string[] | undefined): string[] =>
  value === undefined ? [] : Array.isArray(value) ? value : [value];

// To read a certificate out of a connection costs as much as a small answer, and it stays the same.
const users = new WeakMap<object, UserInfo>();

/** The user of a client certificate: CN is the name, every O a group. */
function certificateUser(req: IncomingMessage): UserInfo | undefined {
  const known = users.get(req.socket);
  if (known) return known;
  const socket = req.socket as Partial<TLSSocket>;
  if (!socket.authorized || !socket.getPeerCertificate) return undefined;
  const { subject } = socket.getPeerCertificate();
  const [name] = texts(subject?.CN as string | string[] | undefined);
  if (!name) return undefined;
  const groups = texts(subject.O as string | string[] | undefined);
  const user = { name, groups: [...groups, authenticatedGroup] };
  users.set(req.socket, user);
  return user;
}

function bearerToken(req: IncomingMessage): string | undefined {
  const [scheme, token] = (req.headers.authorization ?? '').split(' ');
  return scheme?.toLowerCase() === 'bearer' && token ? token : undefined;
}

/**
 * Who sends a request: a client certificate first, then a ServiceAccount token. Without either only the
 * health and version paths answer; a wrong token is refused even there.
 */
export function authenticator(tokens: ServiceAccountTokens, cache: WatchCache) {
  return async (req: IncomingMessage, signal: AbortSignal): Promise<UserInfo> => {
    const user = certificateUser(req);
    if (user) return user;
    const token = bearerToken(req);
    if (token !== undefined) {
      // The account or pod of the token may have been made in the write before this request.
      await cache.fresh(signal);
      const result = tokens.check(token, [tokens.issuer]);
      if ('user' in result) return result.user;
      throw unauthorized();
    }
    const path = (req.url ?? '').split('?')[0] ?? '';
    const [, first = ''] = path.split('/');
    if (openPaths.has(`/${first}`)) return anonymousUser;
    throw unauthorized();
  };
}
