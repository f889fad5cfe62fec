import { watch } from 'node:fs';
import { open, readdir, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';

export interface LogOptions {
  readonly follow: boolean;
  readonly timestamps: boolean;
  readonly tailLines: number | undefined;
  readonly limitBytes: number | undefined;
  /** Lines older than this are left out. */
  readonly sinceMs: number | undefined;
}

export interface LogFollow {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** False once the container has ended: what is written by then is all there will be. */
  isLive(): boolean;
}

const chunkBytes = 64 * 1024;
const maxLineBytes = 1024 * 1024;
const pollMs = 1_000;

/**
 * A container's log as people read it, from the file that the runtime writes (`TIME STREAM F|P text`).
 * Rotated files come first where the tail, or all of it, reaches that far back; a followed log goes on
 * in the new file after each rotation.
 */
export async function* readLog(path: string, options: LogOptions, follow: LogFollow): AsyncGenerator<Buffer> {
  let left = options.limitBytes ?? Number.POSITIVE_INFINITY;
  for await (const text of texts(path, options, follow)) {
    if (left <= 0) return;
    const cut = text.length > left ? text.subarray(0, left) : text;
    left -= cut.length;
    yield cut;
  }
}

async function* texts(path: string, options: LogOptions, follow: LogFollow): AsyncGenerator<Buffer> {
  const since = options.sinceMs;
  const keep = (line: Buffer) => since === undefined || (lineTimeMs(line) ?? since) >= since;
  const shape = (line: Buffer) => shapeLine(line, options.timestamps);
  const rotated = await rotatedFiles(path);
  const tail = options.tailLines;
  if (tail !== undefined) {
    // Only the last `tail` lines are held, however long the log is.
    const held: Buffer[] = [];
    for (const file of [...rotated, path])
      for await (const line of linesOf(file)) {
        if (!keep(line)) continue;
        held.push(shape(line));
        if (held.length > tail) held.shift();
      }
    yield* held;
  } else {
    for (const file of [...rotated, path])
      for await (const line of linesOf(file)) if (keep(line)) yield shape(line);
  }
  if (!options.follow) return;
  for await (const line of followFile(path, follow)) if (keep(line)) yield shape(line);
}

/** Older files of a log, oldest first: `0.log.20260102-030405`. */
export async function rotatedFiles(path: string): Promise<string[]> {
  const prefix = `${basename(path)}.`;
  const names = await readdir(dirname(path)).catch(() => []);
  return names
    .filter((name) => name.startsWith(prefix))
    .sort()
    .map((name) => join(dirname(path), name));
}

async function* linesOf(path: string): AsyncGenerator<Buffer> {
  const file = await open(path, 'r').catch(() => undefined);
  if (!file) return;
  try {
    const reader = lineReader(file);
    yield* reader.available();
    if (reader.rest().length > 0) yield reader.rest();
  } finally {
    await file.close();
  }
}

function lineReader(file: FileHandle, start = 0) {
  let position = start;
  let rest: Buffer = Buffer.alloc(0);
  return {
    rest: () => rest,
    position: () => position,
    async *available(): AsyncGenerator<Buffer> {
      for (;;) {
        const { bytesRead, buffer } = await file.read(Buffer.alloc(chunkBytes), 0, chunkBytes, position);
        if (bytesRead === 0) return;
        position += bytesRead;
        let data = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
        for (let at = data.indexOf(10); at >= 0; at = data.indexOf(10)) {
          yield data.subarray(0, at + 1);
          data = data.subarray(at + 1);
        }
        rest = data.length > maxLineBytes ? Buffer.alloc(0) : data;
      }
    },
  };
}

/** Lines written from now on, across rotations, until the container has ended and all is read. */
async function* followFile(path: string, { clock, signal, isLive }: LogFollow): AsyncGenerator<Buffer> {
  let file = await open(path, 'r');
  let inode = (await file.stat()).ino;
  let reader = lineReader(file, (await file.stat()).size);
  let asleep: AbortController | undefined;
  const watcher = watch(dirname(path), () => asleep?.abort());
  watcher.on('error', () => undefined); // The poll below does without.
  try {
    while (!signal.aborted) {
      const live = isLive();
      yield* reader.available();
      const now = await stat(path).catch(() => undefined);
      if (now && now.ino !== inode) {
        yield* reader.available(); // The last lines of the old file, written before the runtime moved on.
        await file.close();
        file = await open(path, 'r');
        inode = (await file.stat()).ino;
        reader = lineReader(file);
        continue;
      }
      if (!live) return;
      asleep = new AbortController();
      await clock.sleep(pollMs, AbortSignal.any([signal, asleep.signal])).catch(() => undefined);
    }
  } finally {
    watcher.close();
    await file.close();
  }
}

function lineTimeMs(line: Buffer): number | undefined {
  const space = line.indexOf(32);
  const ms = space > 0 ? Date.parse(line.subarray(0, space).toString()) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms;
}

/** Drops `STREAM TAG`, and the time unless it is asked for; a partial line joins the next one. */
function shapeLine(line: Buffer, timestamps: boolean): Buffer {
  const time = line.indexOf(32);
  const stream = line.indexOf(32, time + 1);
  const tag = line.indexOf(32, stream + 1);
  if (time < 0 || stream < 0 || tag < 0) return line;
  let text = line.subarray(tag + 1);
  if (line[stream + 1] === 0x50 && text.at(-1) === 10) text = text.subarray(0, -1);
  return timestamps ? Buffer.concat([line.subarray(0, time + 1), text]) : text;
}
