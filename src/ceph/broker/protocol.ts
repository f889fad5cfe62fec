import { deserialize, serialize } from 'node:v8';

/** The first message to the child; the key reaches it only here, in memory. */
export interface ConnectRequest {
  readonly monHost: string;
  /** `client.admin` */
  readonly user: string;
  readonly key: string;
  readonly settings: Readonly<Record<string, string>>;
}

/** One call. `arguments` is what the operation of that name takes. */
export interface BrokerRequest {
  readonly id: number;
  readonly operation: string;
  readonly arguments: readonly unknown[];
}

export type BrokerResponse =
  | { readonly id: number; readonly result: unknown }
  /** `code` is librados' negative return code; `text` its message, empty where it gave none. */
  | { readonly id: number; readonly code: number; readonly text: string };

const maxFrameBytes = 64 * 1024 * 1024; // An osd dump of a large cluster is a few MiB; more than this is a bug.

/** A frame: u32 length (little-endian), then v8's structured clone, which carries bigints and Maps. */
export function encodeFrame(message: unknown): Buffer {
  const body = serialize(message);
  const frame = Buffer.allocUnsafe(4 + body.length);
  frame.writeUInt32LE(body.length, 0);
  body.copy(frame, 4);
  return frame;
}

/** Takes a stream's chunks apart into messages. Throws on a frame beyond the limit. */
export function frameReader(onMessage: (message: unknown) => void): (chunk: Buffer) => void {
  let parts: Buffer[] = [];
  let bytes = 0;
  let wanted = 4;
  return (chunk) => {
    parts.push(chunk);
    bytes += chunk.length;
    if (bytes < wanted) return;
    let all = parts.length === 1 ? chunk : Buffer.concat(parts);
    while (all.length >= 4) {
      const length = all.readUInt32LE(0);
      if (length > maxFrameBytes) throw new Error(`a frame of ${length} bytes is too long`);
      wanted = 4 + length;
      if (all.length < wanted) break;
      onMessage(deserialize(all.subarray(4, wanted)));
      all = all.subarray(wanted);
      wanted = 4;
    }
    parts = all.length > 0 ? [all] : [];
    bytes = all.length;
  };
}
