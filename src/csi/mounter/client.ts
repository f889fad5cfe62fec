import { request } from 'node:http';
import { z } from 'zod';
import { Code, RpcError } from '../../lib/grpc.ts';
import { Attached, Device, Failure, type AttachBody, type Filesystem, type ImageBody } from './protocol.ts';

/** csi node's side of the mounter. Failures are RpcErrors, ready for kubelet. */
export interface Mounter {
  attach(wanted: AttachBody, signal: AbortSignal): Promise<Attached>;
  detach(image: ImageBody, signal: AbortSignal): Promise<void>;
  /** Lets the device go with its last user: called once it is mounted, with what was mounted. */
  release(image: ImageBody, filesystem: Filesystem, signal: AbortSignal): Promise<void>;
  /** Answers the device's size afterwards, in bytes. */
  resize(image: ImageBody, sizeBytes: bigint, signal: AbortSignal): Promise<bigint>;
  list(signal: AbortSignal): Promise<readonly Device[]>;
}

const maxAnswerBytes = 4 * 1024 * 1024;

interface Answer {
  readonly status: number | undefined;
  readonly text: string;
}

export function mounterClient(socket: string): Mounter {
  const call = async (path: string, body: unknown, signal: AbortSignal): Promise<unknown> => {
    const { status, text } = await exchange(socket, path, body, signal);
    const answer = parseJson(text);
    if (status === 200) return answer;
    const failure = Failure.safeParse(answer);
    if (!failure.success) throw unintelligible(text);
    const code = failure.data.code === 'failed' ? Code.INTERNAL : Code.FAILED_PRECONDITION;
    throw new RpcError(code, failure.data.error);
  };
  return {
    attach: async (wanted, signal) => Attached.parse(await call('/attach', wanted, signal)),
    detach: async (image, signal) => void (await call('/detach', image, signal)),
    release: async (image, filesystem, signal) =>
      void (await call('/release', { ...image, filesystem }, signal)),
    async resize(image, sizeBytes, signal) {
      const answer = z
        .object({ sizeBytes: z.string() })
        .parse(await call('/resize', { ...image, sizeBytes: String(sizeBytes) }, signal));
      return BigInt(answer.sizeBytes);
    },
    list: async (signal) => z.array(Device).parse(await call('/list', undefined, signal)),
  };
}

function exchange(socketPath: string, path: string, body: unknown, signal: AbortSignal): Promise<Answer> {
  const method = body === undefined ? 'GET' : 'POST';
  const headers = { 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const fail = (cause: Error) => reject(signal.aborted ? (signal.reason as Error) : silent(cause));
    const outgoing = request({ socketPath, path, method, signal, headers }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (part: string) => {
        text += part;
        if (text.length <= maxAnswerBytes) return;
        reject(new RpcError(Code.INTERNAL, 'the mounter answers without end'));
        answer.destroy();
      });
      answer.once('error', fail);
      answer.once('end', () => resolve({ status: answer.statusCode, text }));
    });
    outgoing.once('error', fail);
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const silent = (cause: Error): RpcError =>
  new RpcError(Code.UNAVAILABLE, 'the mounter of this node does not answer; its pod is holdfast-mounter', {
    cause,
  });

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw unintelligible(text, cause);
  }
}

const unintelligible = (text: string, cause?: unknown): RpcError =>
  new RpcError(Code.INTERNAL, `the mounter answered: ${text.slice(0, 200)}`, { cause });
