import type { IncomingMessage } from 'node:http';
import type { ResourceRoute } from '../http/route.ts';
import type { UserInfo } from '../registry/request.ts';

/** What is to be done, and to what. */
export type Attempt =
  | { readonly route: ResourceRoute; readonly verb: string; readonly query: URLSearchParams }
  | { readonly path: string; readonly verb: string };

/** Who a request comes from, and whether they may. Both refuse with ApiError: 401, 403. */
export interface Access {
  authenticate(req: IncomingMessage, signal: AbortSignal): Promise<UserInfo>;
  authorize(user: UserInfo, attempt: Attempt, signal: AbortSignal): Promise<void>;
}

export const mastersGroup = 'system:masters';
export const authenticatedGroup = 'system:authenticated';
export const anonymousUser: UserInfo = { name: 'system:anonymous', groups: ['system:unauthenticated'] };

/** Everybody is admin: for tests over plain HTTP on loopback. */
export const adminAccess: Access = {
  authenticate: () => Promise.resolve({ name: 'admin', groups: [mastersGroup, authenticatedGroup] }),
  authorize: () => Promise.resolve(),
};
