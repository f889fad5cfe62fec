import {
  createHash,
  createPrivateKey,
  createPublicKey,
  randomUUID,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto';
import { isObject } from '../registry/json.ts';
import type { UserInfo } from '../registry/request.ts';
import type { WatchCache } from '../registry/watch-cache.ts';
import { authenticatedGroup } from './access.ts';

export interface TokenKeys {
  /** PEM; RSA (RS256) or EC P-256 (ES256). */
  readonly privateKey: string;
  readonly publicKey: string;
  readonly issuer: string;
}

interface Named {
  readonly name: string;
  readonly uid: string;
}

/** What a token is bound to: it ends when one of them does. */
export interface TokenSubject {
  readonly namespace: string;
  readonly serviceAccount: Named;
  readonly pod?: Named | undefined;
  readonly node?: Named | undefined;
  readonly secret?: Named | undefined;
}

interface Claims {
  readonly iss: string;
  readonly sub: string;
  readonly aud: readonly string[];
  readonly exp: number;
  readonly iat: number;
  readonly nbf: number;
  readonly jti: string;
  readonly subject: TokenSubject;
}

/** Why a token is refused: a constant text that tells nothing of its content. */
export type TokenResult =
  | { readonly user: UserInfo; readonly audiences: readonly string[] }
  | { readonly refused: string };

export interface ServiceAccountTokens {
  issue(subject: TokenSubject, audiences: readonly string[], expiresInSeconds: number): string;
  /** The user of a token that is for one of `audiences` and whose subjects are alive. */
  check(token: string, audiences: readonly string[]): TokenResult;
  readonly issuer: string;
}

const maxRemembered = 1000;
const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const usernamePrefix = 'system:serviceaccount:';

function algorithmOf(key: KeyObject): 'RS256' | 'ES256' {
  if (key.asymmetricKeyType === 'rsa') return 'RS256';
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return 'ES256';
  throw new Error('the ServiceAccount key must be RSA or EC P-256');
}

function parsePart(part: string): unknown {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString()) as unknown;
  } catch {
    return undefined;
  }
}

function claimsOf(payload: unknown): Claims | undefined {
  if (!isObject(payload)) return undefined;
  const own = payload['kubernetes.io'];
  if (!isObject(own) || !isObject(own['serviceaccount'])) return undefined;
  const { serviceaccount, ...others } = own;
  const { aud } = payload;
  return {
    ...(payload as unknown as Claims),
    aud: Array.isArray(aud) ? (aud as string[]) : [String(aud)],
    subject: { ...(others as object), serviceAccount: serviceaccount } as unknown as TokenSubject,
  };
}

/** Checks signatures, each token's once. Gives its claims, or undefined for what is not a token of ours. */
function signatureChecker(publicKey: KeyObject, algorithm: string) {
  const verified = new Map<string, Claims>();
  return {
    claims(token: string): Claims | undefined {
      const known = verified.get(token);
      if (known) return known;
      const [head = '', payload = '', signature = '', ...more] = token.split('.');
      const header = parsePart(head);
      if (more.length > 0 || !isObject(header) || header['alg'] !== algorithm) return undefined;
      const key = { key: publicKey, dsaEncoding: 'ieee-p1363' as const };
      const signed = Buffer.from(`${head}.${payload}`);
      if (!verify('sha256', signed, key, Buffer.from(signature, 'base64url'))) return undefined;
      const claims = claimsOf(parsePart(payload));
      if (!claims) return undefined;
      if (verified.size >= maxRemembered) verified.delete(verified.keys().next().value as string);
      verified.set(token, claims);
      return claims;
    },
    forget: (token: string) => verified.delete(token),
  };
}

/** Whether everything a token is bound to still is what it was. */
function subjectsLive(cache: WatchCache, subject: TokenSubject): boolean {
  const { namespace, serviceAccount, pod, node, secret } = subject;
  const lives = (storage: string, key: string, named: Named | undefined) =>
    !named || cache.of(storage).get(key)?.metadata?.uid === named.uid;
  return (
    lives('core/serviceaccounts', `${namespace}/${serviceAccount.name}`, serviceAccount) &&
    lives('core/pods', `${namespace}/${pod?.name}`, pod) &&
    lives('core/secrets', `${namespace}/${secret?.name}`, secret) &&
    // A pod's token names its node for the record only.
    (pod !== undefined || lives('core/nodes', node?.name ?? '', node))
  );
}

function userOf(claims: Claims): UserInfo {
  const { namespace, serviceAccount, pod, node } = claims.subject;
  const claim = 'authentication.kubernetes.io';
  return {
    name: claims.sub,
    uid: serviceAccount.uid,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, authenticatedGroup],
    extra: {
      [`${claim}/credential-id`]: [`JTI=${claims.jti}`],
      ...(pod ? { [`${claim}/pod-name`]: [pod.name], [`${claim}/pod-uid`]: [pod.uid] } : {}),
      ...(node ? { [`${claim}/node-name`]: [node.name] } : {}),
    },
  };
}

/** Signs and checks ServiceAccount tokens: JWTs bound to live objects, which the watch cache knows. */
export function serviceAccountTokens(
  keys: TokenKeys,
  cache: WatchCache,
  nowMs: () => number,
): ServiceAccountTokens {
  const privateKey = createPrivateKey(keys.privateKey);
  const publicKey = createPublicKey(keys.publicKey);
  const algorithm = algorithmOf(privateKey);
  const der = publicKey.export({ type: 'spki', format: 'der' });
  const kid = createHash('sha256').update(der).digest('base64url');
  // A signature is checked once; whether its subjects live is looked up each time.
  const signatures = signatureChecker(publicKey, algorithm);

  return {
    issuer: keys.issuer,
    issue(subject, audiences, expiresInSeconds) {
      const { namespace, serviceAccount, ...bound } = subject;
      const now = Math.floor(nowMs() / 1000);
      const payload = {
        aud: audiences,
        exp: now + expiresInSeconds,
        iat: now,
        iss: keys.issuer,
        jti: randomUUID(),
        'kubernetes.io': { namespace, ...bound, serviceaccount: serviceAccount },
        nbf: now,
        sub: `${usernamePrefix}${namespace}:${serviceAccount.name}`,
      };
      const text = `${base64({ alg: algorithm, kid })}.${base64(payload)}`;
      const signature = sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' });
      return `${text}.${signature.toString('base64url')}`;
    },
    check(token, audiences) {
      const claims = signatures.claims(token);
      if (!claims || claims.iss !== keys.issuer) return { refused: 'the token is not one of this cluster' };
      const now = nowMs() / 1000;
      if (now >= claims.exp) {
        signatures.forget(token);
        return { refused: 'the token has expired' };
      }
      if (now < claims.nbf - 60) return { refused: 'the token is not valid yet' };
      const matching = claims.aud.filter((audience) => audiences.includes(audience));
      if (matching.length === 0) return { refused: 'the token is for another audience' };
      if (!subjectsLive(cache, claims.subject)) return { refused: 'what the token is bound to is gone' };
      return { audiences: matching, user: userOf(claims) };
    },
  };
}
