import type { KubeClient } from './client.ts';
import { isKubeError } from './errors.ts';

const known = new WeakMap<KubeClient, Promise<boolean>>();

/**
 * Whether the server knows `sendInitialEvents`, so that it either sends them or refuses (1.27 and
 * later). An older one ignores the wish, and a client would wait for its end for ever.
 */
export function offersInitialEvents(client: KubeClient, signal: AbortSignal): Promise<boolean> {
  const before = known.get(client);
  if (before) return before;
  const asked = readVersion(client, signal);
  known.set(client, asked);
  // A failure is not the answer: the next one asks again.
  asked.catch(() => known.delete(client));
  return asked;
}

async function readVersion(client: KubeClient, signal: AbortSignal): Promise<boolean> {
  try {
    const answer = await client.request({ method: 'GET', path: '/version' }, { signal });
    const { major, minor } = answer as { major?: string; minor?: string };
    return Number(major) > 1 || Number.parseInt(minor ?? '0', 10) >= 27;
  } catch (error) {
    // Not for us to read: then the way that every server knows.
    if (isKubeError(error) && error.status >= 400 && error.status < 500 && error.status !== 429) return false;
    throw error;
  }
}
