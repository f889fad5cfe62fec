import { watch } from 'node:fs';
import { open, readdir, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import { wakeableSleep } from './wakeable-sleep.ts';

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
  // Opened before anything is read, and followed from where reading it ended: no line falls in between.
  const newest = await openLog(path);
  try {
    const tail = options.tailLines;
    // Only the last `tail` lines are held, however long the log is.
    const held: Buffer[] = [];
    for await (const line of writtenLines(path, newest)) {
      if (!keep(line)) continue;
      if (tail === undefined) yield shape(line);
      else if (held.push(shape(line)) > tail) held.shift();
    }
    yield* held;
    if (!options.follow || !newest.file) return;
    for await (const line of followFile(path, newest, follow)) if (keep(line)) yield shape(line);
  } finally {
    await newest.file?.close();
  }
}

/** A log file being read; a rotation puts another in its place. */
interface OpenLog {
  file: FileHandle | undefined;
  inode: number;
  reader: LineReader | undefined;
}

async function openLog(path: string): Promise<OpenLog> {
  const file = await open(path, 'r').catch(() => undefined);
  return { file, inode: file ? (await file.stat()).ino : 0, reader: file && lineReader(file) };
}

async function* writtenLines(path: string, newest: OpenLog): AsyncGenerator<Buffer> {
  for (const older of await rotatedFiles(path)) {
    if ((await stat(older).catch(() => undefined))?.ino === newest.inode) continue; // Rotated just now.
    const { file, reader } = await openLog(older);
    try {
      if (reader) yield* reader.available();
    } finally {
      await file?.close();
    }
  }
  if (newest.reader) yield* newest.reader.available();
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

interface LineReader {
  /** Whole lines, with their end, up to where the file ends now. */
  available(): AsyncGenerator<Buffer>;
}

function lineReader(file: FileHandle): LineReader {
  let position = 0;
  let rest: Buffer = Buffer.alloc(0);
  return {
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

/** Lines written from here on, across rotations, until the container has ended and all is read. */
async function* followFile(
  path: string,
  log: OpenLog,
  { clock, signal, isLive }: LogFollow,
): AsyncGenerator<Buffer> {
  using pause = wakeableSleep(clock, signal);
  const watcher = watch(dirname(path), () => pause.wake());
  watcher.on('error', () => undefined); // The poll below does without.
  try {
    while (!signal.aborted && log.reader) {
      pause.arm();
      const live = isLive();
      yield* log.reader.available();
      const now = await stat(path).catch(() => undefined);
      if (now && now.ino !== log.inode) {
        yield* log.reader.available(); // The old file's last lines, written before the runtime moved on.
        await log.file?.close();
        Object.assign(log, await openLog(path));
        continue;
      }
      if (!live) return;
      await pause.sleep(pollMs);
    }
  } finally {
    watcher.close();
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
