import { KubeError, kubeErrorOf } from '../kube/errors.ts';
import type { HttpCall, Transport } from '../kube/transport.ts';
import type { LocalApi } from './apiserver/http/local.ts';

/**
 * The way to the API server for a client in the same process: no wire, TLS or HTTP, which would cost both ends
 * more than the request itself. Everything else is as for other clients.
 */
export function localTransport(api: LocalApi): Transport {
  const closed = new AbortController();
  const opened = (call: HttpCall) => {
    call.signal.throwIfAborted();
    if (closed.signal.aborted) throw unreachable(`${call.method} ${call.path}: the client is closed`);
  };

  return {
    async call(call) {
      opened(call);
      const { method, path, body, contentType, signal } = call;
      const answer = await api(
        {
          method,
          path,
          ...(body === undefined
            ? {}
            : { body: JSON.stringify(body), contentType: contentType ?? 'application/json' }),
        },
        signal,
      );
      if ('stream' in answer) throw unreachable(`${method} ${path}: the answer is a stream`);
      const text = typeof answer.text === 'string' ? answer.text : Buffer.from(answer.text).toString();
      if (answer.code >= 400) throw refusal(answer.code, text, answer.headers?.['retry-after']);
      if (text === '') return undefined;
      return answer.contentType.startsWith('text/plain') ? text : (JSON.parse(text) as unknown);
    },
    async stream(path, signal) {
      opened({ method: 'GET', path, signal });
      const answer = await api({ method: 'GET', path }, AbortSignal.any([signal, closed.signal]));
      if ('stream' in answer) return piecesOf(answer.stream, signal);
      throw refusal(answer.code, String(answer.text), answer.headers?.['retry-after']);
    },
    close() {
      closed.abort(new Error('the client is closed'));
      return Promise.resolve();
    },
  };
}

/** The server ends a stream quietly when the signal aborts; to the client that is the signal's reason. */
async function* piecesOf(stream: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  yield* stream;
  signal.throwIfAborted();
}

const refusal = (status: number, text: string, retryAfter: string | readonly string[] | undefined) =>
  kubeErrorOf(status, parsed(text), typeof retryAfter === 'string' ? retryAfter : undefined);

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const unreachable = (message: string): KubeError =>
  new KubeError({ status: 0, reason: 'Unreachable', message });
