import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Container } from 'kubernetes-types/core/v1.js';
import { podFolder } from './csi/paths.ts';
import type { ObservedContainer } from './observed.ts';

const maxMessageBytes = 4096;
const maxLogBytes = 2048;
const maxLogLines = 80;

/** Bound at the container's terminationMessagePath: one for each start. */
export const terminationFile = (
  kubeletRoot: string,
  podUid: string,
  container: string,
  attempt: number,
): string => join(podFolder(kubeletRoot, podUid), 'containers', container, `termination-${attempt}`);

/** A dead container's last words: its termination file, or the end of its log where it asks for that. */
export async function terminationMessage(
  kubeletRoot: string,
  podUid: string,
  container: Container | undefined,
  observed: ObservedContainer,
): Promise<string> {
  const file = terminationFile(kubeletRoot, podUid, observed.name, observed.attempt);
  const said = await readEnd(file, maxMessageBytes).catch(() => '');
  if (
    said !== '' ||
    container?.terminationMessagePolicy !== 'FallbackToLogsOnError' ||
    observed.exitCode === 0
  )
    return said;
  const log = await readEnd(observed.logPath, maxLogBytes * 2).catch(() => '');
  const lines = log.trimEnd().split('\n').slice(-maxLogLines);
  // `TIME STREAM TAG text`
  const texts = lines.map((line) => line.split(' ').slice(3).join(' '));
  return texts.join('\n').slice(-maxLogBytes);
}

async function readEnd(path: string, bytes: number): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const length = Math.min(size, bytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.subarray(0, bytesRead).toString();
  } finally {
    await file.close();
  }
}
