import { chmod, mkdir, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import type { ZodType } from 'zod';
import type { AttachedDevice, ImageSpec, RbdAttacher } from '../../host/attacher.ts';
import { chooseAttacher } from '../../host/choose-attacher.ts';
import { isDeviceBusy } from '../../host/device-busy.ts';
import type { Clock } from '../../lib/clock.ts';
import { withDeadline } from '../../lib/deadline.ts';
import type { Logger } from '../../lib/log.ts';
import {
  AttachBody,
  type Attached,
  ImageBody,
  ReleaseBody,
  ResizeBody,
  type Failure,
  type Filesystem,
} from './protocol.ts';
import { watchDaemons, type HealingAttacher } from './watch-daemons.ts';

/** An attacher whose device may go away with its last user, as qsd's loop does, and whose daemon may die. */
export interface MounterAttacher extends RbdAttacher, Partial<HealingAttacher> {
  releaseWithLastUser?(image: ImageSpec, signal: AbortSignal, filesystem?: Filesystem): Promise<void>;
}

export interface MounterOptions {
  readonly socket: string;
}

export interface MounterDeps {
  /** In the order of preference. */
  readonly attachers: readonly MounterAttacher[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const callTimeoutMs = 60_000;
const maxBodyBytes = 64 * 1024;

class UnusableError extends Error {}

/**
 * The mounter role: attaches images for csi node, and holds the daemons behind them, which have to outlive
 * every restart of csi node. What is attached stands in the attachers' ledgers, so this process may be
 * killed and started again at any time.
 */
export async function runMounter({ socket }: MounterOptions, deps: MounterDeps): Promise<void> {
  const { log, signal } = deps;
  const server = createServer((message, answer) => {
    void respond(message, answer, deps);
  });
  await mkdir(dirname(socket), { recursive: true, mode: 0o700 });
  await rm(socket, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socket, resolve);
  });
  await chmod(socket, 0o600);
  const adopted = await listAll(deps, signal);
  log.info({ socket, attached: adopted.length }, 'mounter is up');
  await watchDaemons(deps);
  server.close();
  server.closeAllConnections();
  await rm(socket, { force: true });
}

async function respond(message: IncomingMessage, answer: ServerResponse, deps: MounterDeps): Promise<void> {
  const send = (code: number, body: unknown) => {
    const text = JSON.stringify(body); // First: what cannot be written must still become a failure.
    answer.writeHead(code, { 'content-type': 'application/json' });
    answer.end(text);
  };
  try {
    const body = message.method === 'POST' ? await readJson(message) : undefined;
    const result = await withDeadline(message.url ?? '', callTimeoutMs, deps.signal, (own) =>
      serve(message.url ?? '', body, deps, own),
    );
    send(200, result);
  } catch (error) {
    const failure: Failure = {
      error: error instanceof Error ? error.message : String(error),
      code: isDeviceBusy(error) ? 'busy' : error instanceof UnusableError ? 'unusable' : 'failed',
    };
    deps.log.warn({ err: error, call: message.url }, 'call failed');
    send(failure.code === 'busy' ? 409 : 500, failure);
  }
}

async function serve(url: string, body: unknown, deps: MounterDeps, signal: AbortSignal): Promise<unknown> {
  const { attachers } = deps;
  switch (url) {
    case '/list':
      return await listAll(deps, signal);
    case '/attach': {
      const { features, attacher: wanted, tryOthers, ...request } = parse(AttachBody, body);
      const holder = await holderOf(attachers, request, signal);
      const choice = holder
        ? { attacher: holder, reasons: [] }
        : await chooseAttacher(attachers, features, { attacher: wanted, tryOthers });
      if (!choice.attacher)
        throw new UnusableError(`this node cannot attach the image: ${choice.reasons.join('; ')}`);
      const device = await choice.attacher.attach(request, signal);
      return {
        ...device,
        attacher: choice.attacher.name,
        passedOver: [...choice.reasons],
      } satisfies Attached;
    }
    case '/detach': {
      const image = parse(ImageBody, body);
      await (await holderOf(attachers, image, signal))?.detach(image, signal);
      return {};
    }
    case '/release': {
      const { filesystem, ...image } = parse(ReleaseBody, body);
      const holder: MounterAttacher | undefined = await holderOf(attachers, image, signal);
      await holder?.releaseWithLastUser?.(image, signal, filesystem);
      return {};
    }
    case '/resize': {
      const { sizeBytes, ...image } = parse(ResizeBody, body);
      const holder = await holderOf(attachers, image, signal);
      if (!holder) throw new Error(`${image.image} is not attached`);
      return { sizeBytes: String(await holder.resize(image, BigInt(sizeBytes), signal)) };
    }
    default:
      throw new Error(`there is no call ${url}`);
  }
}

function parse<T>(shape: ZodType<T>, body: unknown): T {
  const parsed = shape.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new Error(`${issue?.path.join('.')}: ${issue?.message}`);
}

/** The attacher that has the image, half-made attachments and dead daemons included. */
async function holderOf(
  attachers: readonly MounterAttacher[],
  image: ImageSpec,
  signal: AbortSignal,
): Promise<MounterAttacher | undefined> {
  for (const attacher of attachers) {
    if (await attacher.holds(image, signal)) return attacher;
  }
  return undefined;
}

async function listAll({ attachers }: MounterDeps, signal: AbortSignal): Promise<AttachedDevice[]> {
  const lists = await Promise.all(attachers.map((attacher) => attacher.list(signal)));
  return lists.flat();
}

async function readJson(message: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of message as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > maxBodyBytes) throw new Error('the request is too long');
    parts.push(part);
  }
  return JSON.parse(Buffer.concat(parts).toString());
}
