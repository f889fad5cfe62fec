import type { ZodType } from 'zod';
import { cephError } from './errno.ts';

/**
 * Reads a command's answer. Three kinds exist: one JSON document; several written one after the other (`osd
 * blocklist ls` answers `[...][...]`), given to `shape` as an array of them; and plain text (`config get` of one
 * key), tried where no JSON fits. An empty answer is `null`, then `''`.
 * Throws CephError EBADMSG where nothing fits; the message names paths, never values, for answers hold keys.
 */
export function decodeAnswer<T>(operation: string, text: string, shape: ZodType<T>): T {
  const candidates: unknown[] = [];
  const trimmed = text.trim();
  if (trimmed === '') candidates.push(null, '');
  else {
    const documents = jsonDocuments(trimmed);
    if (documents) candidates.push(documents.length === 1 ? documents[0] : documents);
    candidates.push(trimmed);
  }
  let problem = '';
  for (const candidate of candidates) {
    const result = shape.safeParse(candidate);
    if (result.success) return result.data;
    problem ||= result.error.issues
      .slice(0, 3)
      .map((issue) => `${issue.path.map(String).join('.') || 'answer'}: ${issue.code}`)
      .join('; ');
  }
  throw cephError('EBADMSG', operation, `the answer has another shape: ${problem}`);
}

function jsonDocuments(text: string): unknown[] | undefined {
  const whole = tryParse(text);
  if (whole) return [whole.value];
  const documents: unknown[] = [];
  let start = 0;
  for (let end = documentEnd(text, start); end !== undefined; end = documentEnd(text, start)) {
    const part = tryParse(text.slice(start, end));
    if (!part) return undefined;
    documents.push(part.value);
    start = end;
    if (text.slice(start).trim() === '') return documents;
  }
  return undefined;
}

function tryParse(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return undefined;
  }
}

/** Where the array or object that begins at `start` ends, strings and their escapes skipped. */
function documentEnd(text: string, start: number): number | undefined {
  let depth = 0;
  let inString = false;
  for (let at = start; at < text.length; at++) {
    const char = text[at];
    if (inString) {
      if (char === '\\') at++;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === '[' || char === '{') depth++;
    else if (char === ']' || char === '}') {
      depth--;
      if (depth === 0) return at + 1;
    } else if (depth === 0 && char !== undefined && !/\s/.test(char)) return undefined;
  }
  return undefined;
}
