import { createHash } from 'node:crypto';
import type { Event, ObjectReference } from 'kubernetes-types/core/v1.js';
import { Events } from '../api/core.ts';
import { refOf, type KubeObject, type Stored } from '../api/resource.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { KubeClient } from './client.ts';
import { isNotFound } from './errors.ts';
import { parseTime, secondTime } from './micro-time.ts';

const maxQueued = 1_000;
const maxKnown = 4_096;
const maxMessageBytes = 1_024;
/** One object may tell 25 things at once and one more every 5 minutes, as with Kubernetes' own recorder. */
const burst = 25;
const refillMs = 300_000;
const sendTimeoutMs = 10_000;
/** Most waits are over sooner; then how they ended is told, and the wait itself is no news. */
const waitIsNewsAfterMs = 5_000;

export interface EventRecorder {
  /** Notes an event and returns at once; a repeat raises the first one's count. */
  event(object: Stored<KubeObject>, type: 'Normal' | 'Warning', reason: string, message: string): void;
  /** Notes what an object waits for: a Normal event where `lasts` still holds after 5 s, else nothing. */
  wait(object: Stored<KubeObject>, reason: string, message: string, lasts: () => boolean): void;
  /** Resolves when everything noted so far is sent or given up. */
  flush(): Promise<void>;
}

export interface EventRecorderDeps {
  readonly client: KubeClient;
  /** Shown as the event's source, such as `persistentvolume-controller`. */
  readonly component: string;
  readonly host?: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

interface Noted {
  readonly event: Event & { metadata: { name: string; namespace: string } };
  /** What makes another one a repeat of it. */
  readonly digest: string;
  readonly nowMs: number;
}

/** Sends in the background, one at a time; what cannot be sent is dropped, for an event is only news. */
export function createEventRecorder(deps: EventRecorderDeps): EventRecorder {
  const { clock, log, signal } = deps;
  const queue: Noted[] = [];
  const known = new Map<string, Stored<Event>>();
  const buckets = new Map<string, { tokens: number; atMs: number }>();
  let sending: Promise<void> | undefined;
  let dropped = 0;
  let noted = 0;

  const allowed = (uid: string): boolean => {
    const nowMs = clock.now();
    const bucket = buckets.get(uid) ?? { tokens: burst, atMs: nowMs };
    const tokens = Math.min(burst, bucket.tokens + (nowMs - bucket.atMs) / refillMs);
    remember(buckets, uid, { tokens: tokens >= 1 ? tokens - 1 : tokens, atMs: nowMs });
    return tokens >= 1;
  };
  const drain = async () => {
    for (let next = queue.shift(); next && !signal.aborted; next = queue.shift()) {
      try {
        await sendEvent(deps, known, next);
      } catch (error) {
        log.debug({ err: error, reason: next.event.reason }, 'event not sent');
      }
    }
    sending = undefined;
  };
  const event: EventRecorder['event'] = (object, type, reason, message) => {
    if (signal.aborted) return;
    if (queue.length >= maxQueued || !allowed(object.metadata.uid)) {
      dropped++;
      if (dropped % 100 === 1) log.debug({ dropped, reason }, 'events dropped');
      return;
    }
    queue.push(noteOf(deps, object, { type, reason, message }, noted++));
    sending ??= drain();
  };
  return {
    event,
    wait: createWaits(clock, signal, event),
    async flush() {
      await sending;
    },
  };
}

/** Waits that may become news; one that is noted again meanwhile began when it was noted first. */
function createWaits(
  clock: Clock,
  signal: AbortSignal,
  event: EventRecorder['event'],
): EventRecorder['wait'] {
  // All are given the same time, so they are due in the order in which they came.
  const waits = new Map<string, { readonly dueMs: number; readonly tell: () => void }>();
  let watching = false;
  const watch = async () => {
    for (const [key, { dueMs, tell }] of waits) {
      await clock.sleep(Math.max(0, dueMs - clock.now()), signal);
      waits.delete(key);
      tell();
    }
    watching = false;
  };
  return (object, reason, message, lasts) => {
    const key = [object.metadata.uid, reason, message].join('\0');
    if (signal.aborted || waits.has(key) || waits.size >= maxQueued) return;
    const tell = () => {
      if (lasts()) event(object, 'Normal', reason, message);
    };
    waits.set(key, { dueMs: clock.now() + waitIsNewsAfterMs, tell });
    if (watching) return;
    watching = true;
    watch().catch(() => undefined); // Rejects only with the signal.
  };
}

/** Keeps the newest `maxKnown` entries: a Map remembers the order in which its keys came. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= maxKnown) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}

async function sendEvent(
  { client, signal }: EventRecorderDeps,
  known: Map<string, Stored<Event>>,
  { event, digest, nowMs }: Noted,
): Promise<void> {
  const options = { signal, timeoutMs: sendTimeoutMs };
  const before = known.get(digest);
  if (before) {
    const raised = await raise(before);
    if (raised) return remember(known, digest, raised);
    known.delete(digest); // It has outlived its hour, or the namespace has.
  }
  remember(known, digest, await client.create(Events, event, options));

  async function raise(current: Stored<Event>): Promise<Stored<Event> | undefined> {
    const body = { count: (current.count ?? 1) + 1, lastTimestamp: secondTime(nowMs) };
    try {
      return await client.patch(Events, refOf(current), { type: 'merge', body }, options);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }
}

/** Cut by whole characters, for a broken one would make the whole event invalid. */
const cut = (message: string): string => {
  if (Buffer.byteLength(message) <= maxMessageBytes) return message;
  return `${Buffer.from(message)
    .subarray(0, maxMessageBytes - 3)
    .toString()
    .replace(/\uFFFD+$/, '')}...`;
};

/**
 * The event of an object, as the `count`th of this process. Its name begins with its time, as with
 * Kubernetes' own recorder: lists are in the order of names, and so what an object tells is in its order.
 */
function noteOf(
  { clock, component, host }: EventRecorderDeps,
  { metadata, apiVersion, kind }: Stored<KubeObject>,
  { type, reason, message }: { type: 'Normal' | 'Warning'; reason: string; message: string },
  count: number,
): Noted {
  // Events of cluster-scoped objects live in `default`, as everywhere.
  const namespace = metadata.namespace ?? 'default';
  const involvedObject: ObjectReference = {
    apiVersion,
    kind,
    name: metadata.name,
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
  };
  const text = cut(message);
  const digest = createHash('sha256')
    .update(JSON.stringify([metadata.uid, namespace, kind, type, reason, text, component, host ?? '']))
    .digest('hex');
  const nowMs = clock.now();
  // Several within one millisecond keep their order; the digest tells those of several processes apart.
  const at = (BigInt(Math.trunc(nowMs)) * 1_000_000n + BigInt(count % 1_000_000))
    .toString(16)
    .padStart(16, '0');
  const time = secondTime(nowMs);
  const event = {
    metadata: { name: `${metadata.name.slice(0, 228)}.${at}${digest.slice(0, 8)}`, namespace },
    involvedObject,
    type,
    reason,
    message: text,
    source: { component, ...(host === undefined ? {} : { host }) },
    reportingComponent: component,
    reportingInstance: host ?? '',
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
  } as Noted['event'];
  return { event, digest, nowMs };
}

/** When an event last happened, whichever of its fields says so. */
export function lastSeenMs(event: Stored<Event>): number {
  return (
    parseTime(event.series?.lastObservedTime) ??
    parseTime(event.lastTimestamp) ??
    parseTime(event.eventTime) ??
    parseTime(event.metadata.creationTimestamp) ??
    0
  );
}
