import type { Pod } from 'kubernetes-types/core/v1.js';
import { z } from 'zod';
import type { KubeClient } from '../../../kube/client.ts';
import type { Clock } from '../../../lib/clock.ts';

const TokenAnswer = z.object({
  status: z.object({ token: z.string(), expirationTimestamp: z.string() }),
});

export interface TokenWish {
  /** Empty for the API's own audience. */
  readonly audience: string;
  readonly expirationSeconds: number;
}

/** Tokens bound to pods, asked anew when 80 % of their life is over, or a day. */
export interface TokenSource {
  token(pod: Pod, wish: TokenWish, signal: AbortSignal): Promise<string>;
  forget(podUid: string): void;
}

interface Issued {
  readonly token: string;
  readonly renewAtMs: number;
  readonly expiresAtMs: number;
}

const dayMs = 24 * 3600 * 1000;

export function tokenSource(client: KubeClient, clock: Clock): TokenSource {
  const issued = new Map<string, Map<string, Issued>>();
  const request = async (pod: Pod, wish: TokenWish, signal: AbortSignal): Promise<Issued> => {
    const { name = '', namespace = '', uid = '' } = pod.metadata ?? {};
    const account = pod.spec?.serviceAccountName || 'default';
    const askedAtMs = clock.now();
    const answer = await client.request(
      {
        method: 'POST',
        path: `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`,
        body: {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenRequest',
          spec: {
            audiences: wish.audience === '' ? [] : [wish.audience],
            expirationSeconds: wish.expirationSeconds,
            boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
          },
        },
      },
      { signal },
    );
    const { status } = TokenAnswer.parse(answer);
    const expiresAtMs = Date.parse(status.expirationTimestamp);
    const renewAtMs = Math.min(askedAtMs + 0.8 * (expiresAtMs - askedAtMs), askedAtMs + dayMs);
    return { token: status.token, renewAtMs, expiresAtMs };
  };
  return {
    async token(pod, wish, signal) {
      const uid = pod.metadata?.uid ?? '';
      const ofPod = issued.get(uid) ?? new Map<string, Issued>();
      issued.set(uid, ofPod);
      const key = `${wish.audience}\n${wish.expirationSeconds}`;
      const known = ofPod.get(key);
      const nowMs = clock.now();
      if (known && nowMs < known.renewAtMs) return known.token;
      try {
        const fresh = await request(pod, wish, signal);
        ofPod.set(key, fresh);
        return fresh.token;
      } catch (error) {
        // The API may be away for a moment: the token it gave is still good until it expires.
        if (known && nowMs < known.expiresAtMs) return known.token;
        throw error;
      }
    },
    forget: (podUid) => void issued.delete(podUid),
  };
}
