import { conflict, invalid, notFound } from '../status.ts';
import type { FieldError } from '../kind.ts';
import type { ServiceAccountTokens, TokenSubject } from '../auth/service-account-token.ts';
import { readObject } from '../http/body.ts';
import type { Answer, Exchange } from '../http/exchange.ts';
import { jsonReply } from '../http/respond.ts';
import { isObject, rfc3339, valueAt } from '../registry/json.ts';
import { getObject } from '../registry/list.ts';

const minSeconds = 600;
const maxSeconds = 2 ** 32;
const defaultSeconds = 3600;
const requestKind = { group: 'authentication.k8s.io', kind: 'TokenRequest' };

function expiryOf(spec: unknown): number {
  const asked = valueAt(spec, 'expirationSeconds') ?? defaultSeconds;
  const errors: FieldError[] = [];
  const error = (why: string) =>
    errors.push({
      field: 'spec.expirationSeconds',
      reason: 'FieldValueInvalid',
      message: `Invalid value: ${JSON.stringify(asked)}: ${why}`,
    });
  if (typeof asked !== 'number' || !Number.isInteger(asked)) error('must be a whole number');
  else if (asked < minSeconds) error('may not specify a duration less than 10 minutes');
  else if (asked > maxSeconds) error('may not specify a duration larger than 2^32 seconds');
  if (errors.length > 0) throw invalid(requestKind, '', errors);
  return asked as number;
}

const boundStorage: Readonly<
  Record<string, { storage: string; plural: string; key: 'pod' | 'secret' | 'node' }>
> = {
  Pod: { storage: 'core/pods', plural: 'pods', key: 'pod' },
  Secret: { storage: 'core/secrets', plural: 'secrets', key: 'secret' },
  Node: { storage: 'core/nodes', plural: 'nodes', key: 'node' },
};

/** The live object a token is to be bound to; a pod must run as the account. */
function boundTo({ deps, route }: Exchange, spec: unknown): Partial<TokenSubject> {
  const ref = valueAt(spec, 'boundObjectRef');
  if (!isObject(ref)) return {};
  const kind = typeof ref['kind'] === 'string' ? ref['kind'] : '';
  const name = typeof ref['name'] === 'string' ? ref['name'] : '';
  const bound = boundStorage[kind];
  if (!bound)
    throw invalid(requestKind, '', [
      {
        field: 'spec.boundObjectRef.kind',
        reason: 'FieldValueNotSupported',
        message: `Unsupported value: "${kind}": supported values: "Node", "Pod", "Secret"`,
      },
    ]);
  const resource = { group: '', plural: bound.plural };
  const object = deps.cache.of(bound.storage).get(kind === 'Node' ? name : `${route.namespace}/${name}`);
  if (!object) throw notFound(resource, name);
  const uid = object.metadata?.uid ?? '';
  if (typeof ref['uid'] === 'string' && ref['uid'] !== '' && ref['uid'] !== uid)
    throw conflict(
      resource,
      name,
      `the UID in the bound object reference (${ref['uid']}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  const { spec: podSpec } = object as { spec?: { serviceAccountName?: string; nodeName?: string } };
  if (kind !== 'Pod') return { [bound.key]: { name, uid } };
  if (podSpec?.serviceAccountName !== route.name)
    throw conflict(
      resource,
      name,
      `cannot bind token for serviceaccount "${route.name}" to pod running with different serviceaccount name.`,
    );
  const node = podSpec?.nodeName ? deps.cache.of('core/nodes').get(podSpec.nodeName) : undefined;
  const nodeName = { name: podSpec?.nodeName ?? '', uid: node?.metadata?.uid ?? '' };
  return { pod: { name, uid }, ...(node ? { node: nodeName } : {}) };
}

/** POST serviceaccounts/token: a signed token with an end, for pods and `kubectl create token`. */
export async function requestToken(tokens: ServiceAccountTokens, exchange: Exchange): Promise<Answer> {
  const { deps, kind, route, caller, req } = exchange;
  const body = await readObject(req, caller.signal);
  const spec = valueAt(body, 'spec');
  const account = await getObject(deps, kind, route.namespace, route.name ?? '', caller.signal);
  const seconds = expiryOf(spec);
  const asked = valueAt(spec, 'audiences');
  const audiences = Array.isArray(asked) && asked.length > 0 ? (asked as string[]) : [tokens.issuer];
  const subject: TokenSubject = {
    namespace: route.namespace ?? '',
    serviceAccount: { name: route.name ?? '', uid: account.metadata?.uid ?? '' },
    ...boundTo(exchange, spec),
  };
  const now = deps.clock.now();
  return jsonReply(201, {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name: route.name, namespace: route.namespace, creationTimestamp: rfc3339(now) },
    spec: {
      audiences,
      expirationSeconds: seconds,
      boundObjectRef: valueAt(spec, 'boundObjectRef') ?? null,
    },
    status: {
      token: tokens.issue(subject, audiences, seconds),
      expirationTimestamp: rfc3339(now + seconds * 1000),
    },
  });
}
