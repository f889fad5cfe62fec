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

export function mounterClient(socket: string): Mounter {
  const call = (path: string, body: unknown, signal: AbortSignal): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const outgoing = request(
        {
          socketPath: socket,
          path,
          method: body === undefined ? 'GET' : 'POST',
          signal,
          headers: { 'content-type': 'application/json' },
        },
        (answer) => {
          let text = '';
          answer.setEncoding('utf8');
          answer.on('data', (part: string) => {
            text += part;
            if (text.length > maxAnswerBytes) answer.destroy(new Error('the answer is too long'));
          });
          answer.once('error', reject);
          answer.once('end', () => {
            if (answer.statusCode === 200) resolve(JSON.parse(text));
            else reject(refusal(text));
          });
        },
      );
      outgoing.once('error', (cause) =>
        reject(
          signal.aborted
            ? (signal.reason as Error)
            : new RpcError(
                Code.UNAVAILABLE,
                'the mounter of this node does not answer; its pod is holdfast-mounter',
                { cause },
              ),
        ),
      );
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    });
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

function refusal(text: string): RpcError {
  const failure = Failure.safeParse(JSON.parse(text));
  if (!failure.success) return new RpcError(Code.INTERNAL, `the mounter answered: ${text.slice(0, 200)}`);
  const code = failure.data.code === 'failed' ? Code.INTERNAL : Code.FAILED_PRECONDITION;
  return new RpcError(code, failure.data.error);
}
