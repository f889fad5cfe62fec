import type { KubeObject, Resource, Stored } from '../api/resource.ts';
import { apiVersionOf } from '../api/resource.ts';
import type { WatchEvent } from './client.ts';
import { KubeError, kubeErrorOf } from './errors.ts';

// An object is at most some MiB in etcd; a line beyond this is no watch event.
const maxLineBytes = 32 * 1024 * 1024;
const newline = 10;

/** The lines of a byte stream, without their ends; an unfinished last line is dropped. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    let from = 0;
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, from)) {
      parts.push(chunk.subarray(from, at));
      yield Buffer.concat(parts).toString();
      parts = [];
      bytes = 0;
      from = at + 1;
    }
    if (from === chunk.length) continue;
    parts.push(chunk.subarray(from));
    bytes += chunk.length - from;
    if (bytes > maxLineBytes) {
      throw new KubeError({ status: 0, reason: 'AnswerTooLong', message: 'a watch event is too long' });
    }
  }
}

interface RawEvent {
  type?: string;
  object?: KubeObject;
}

/** Decodes one line of a watch; an ERROR event is thrown as the KubeError it carries. */
export function watchEventOf<T extends KubeObject>(resource: Resource<T>, line: string): WatchEvent<T> {
  const event = parseLine(line);
  const metadata = event.object?.metadata;
  switch (event.type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type: event.type, object: storedOf(resource, event.object) };
    case 'BOOKMARK':
      return {
        type: 'BOOKMARK',
        resourceVersion: metadata?.resourceVersion ?? '',
        initialEventsEnd: metadata?.annotations?.['k8s.io/initial-events-end'] === 'true',
      };
    case 'ERROR':
      throw kubeErrorOf((event.object as { code?: number } | undefined)?.code ?? 500, event.object);
    default:
      throw badEvent(line);
  }
}

const badEvent = (line: string, cause?: unknown): KubeError =>
  new KubeError({
    status: 0,
    reason: 'BadAnswer',
    message: `no watch event: ${line.slice(0, 100)}`,
    cause,
  });

function parseLine(line: string): RawEvent {
  try {
    return JSON.parse(line) as RawEvent;
  } catch (error) {
    throw badEvent(line, error);
  }
}

/** An object as the API gave it; list items lack their kind, so it is filled in. */
export function storedOf<T extends KubeObject>(resource: Resource<T>, value: unknown): Stored<T> {
  const object = value as Stored<T>;
  if (typeof value !== 'object' || value === null || !object.metadata?.name) {
    throw new KubeError({
      status: 0,
      reason: 'BadAnswer',
      message: `the API answered no ${resource.kind}`,
    });
  }
  object.apiVersion ??= apiVersionOf(resource);
  object.kind ??= resource.kind;
  return object;
}
