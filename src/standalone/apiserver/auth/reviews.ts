import type { PolicyRule } from 'kubernetes-types/rbac/v1.js';
import { readObject } from '../http/body.ts';
import type { Answer, Exchange } from '../http/exchange.ts';
import { jsonReply } from '../http/respond.ts';
import type { Json, JsonObject } from '../kind.ts';
import { isObject, valueAt } from '../registry/json.ts';
import type { UserInfo } from '../registry/request.ts';
import { badRequest } from '../status.ts';
import type { Rbac } from './rbac.ts';
import type { Need } from './rules.ts';
import type { ServiceAccountTokens } from './service-account-token.ts';

export interface ReviewDeps {
  readonly rbac: Rbac;
  /** Absent where everybody is admin. */
  readonly tokens: ServiceAccountTokens | undefined;
}

const textAt = (object: unknown, path: string): string => {
  const value = valueAt(object, path);
  return typeof value === 'string' ? value : '';
};

const listAt = (object: unknown, path: string): string[] => {
  const value = valueAt(object, path);
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
};

function neededBy(spec: unknown): Need {
  const resource = valueAt(spec, 'resourceAttributes');
  if (isObject(resource)) {
    const subresource = textAt(resource, 'subresource');
    const namespace = textAt(resource, 'namespace');
    return {
      verb: textAt(resource, 'verb'),
      group: textAt(resource, 'group'),
      resource: textAt(resource, 'resource') + (subresource === '' ? '' : `/${subresource}`),
      name: textAt(resource, 'name'),
      namespace: namespace === '' ? undefined : namespace,
    };
  }
  if (!isObject(valueAt(spec, 'nonResourceAttributes')))
    throw badRequest('exactly one of nonResourceAttributes or resourceAttributes must be specified');
  return {
    verb: textAt(spec, 'nonResourceAttributes.verb'),
    path: textAt(spec, 'nonResourceAttributes.path'),
  };
}

function accessStatus(rbac: Rbac, user: UserInfo, spec: unknown): JsonObject {
  return rbac.allows(user, neededBy(spec)) ? { allowed: true } : { allowed: false, reason: '' };
}

function rulesStatus(rbac: Rbac, user: UserInfo, spec: unknown): JsonObject {
  const rules = rbac.rulesOf(user, textAt(spec, 'namespace') || undefined);
  const isPath = (rule: PolicyRule) => (rule.nonResourceURLs?.length ?? 0) > 0;
  return {
    resourceRules: rules
      .filter((rule) => !isPath(rule))
      .map((rule): Json => ({
        verbs: [...rule.verbs],
        apiGroups: [...(rule.apiGroups ?? [])],
        resources: [...(rule.resources ?? [])],
        ...(rule.resourceNames?.length ? { resourceNames: [...rule.resourceNames] } : {}),
      })),
    nonResourceRules: rules
      .filter(isPath)
      .map((rule): Json => ({ verbs: [...rule.verbs], nonResourceURLs: [...(rule.nonResourceURLs ?? [])] })),
    incomplete: false,
  };
}

const userObject = (user: UserInfo): JsonObject => ({
  username: user.name,
  ...(user.uid === undefined ? {} : { uid: user.uid }),
  groups: [...user.groups],
  ...(user.extra ? { extra: user.extra as unknown as JsonObject } : {}),
});

function tokenStatus(tokens: ServiceAccountTokens | undefined, spec: unknown): JsonObject {
  const audiences = listAt(spec, 'audiences');
  const wanted = audiences.length > 0 ? audiences : tokens ? [tokens.issuer] : [];
  const result = tokens?.check(textAt(spec, 'token'), wanted) ?? { refused: 'this server knows no tokens' };
  if ('refused' in result) return { user: {}, error: result.refused };
  return { authenticated: true, user: userObject(result.user), audiences: [...result.audiences] };
}

/** The kinds that are questions: created, answered in their status, and never stored. */
export async function answerReview({ rbac, tokens }: ReviewDeps, exchange: Exchange): Promise<Answer> {
  const { kind, caller, req } = exchange;
  const body = await readObject(req, caller.signal);
  if (!isObject(body)) throw badRequest('the body of the request is not an object');
  await exchange.deps.cache.fresh(caller.signal);
  const spec = body['spec'];
  const statusOf = (): JsonObject => {
    switch (kind.kind) {
      case 'TokenReview':
        return tokenStatus(tokens, spec);
      case 'SelfSubjectReview':
        return { userInfo: userObject(caller.user) };
      case 'SelfSubjectRulesReview':
        return rulesStatus(rbac, caller.user, spec);
      case 'SelfSubjectAccessReview':
        return accessStatus(rbac, caller.user, spec);
      default:
        return accessStatus(rbac, { name: textAt(spec, 'user'), groups: listAt(spec, 'groups') }, spec);
    }
  };
  const metadata = { creationTimestamp: null, ...(isObject(body['metadata']) ? body['metadata'] : {}) };
  return jsonReply(201, {
    ...body,
    kind: kind.kind,
    apiVersion: `${kind.group}/${kind.version}`,
    metadata,
    status: statusOf(),
  });
}

/** Kinds that `answerReview` answers. */
export const isReview = ({ group }: { readonly group: string }): boolean =>
  group === 'authorization.k8s.io' || group === 'authentication.k8s.io';
