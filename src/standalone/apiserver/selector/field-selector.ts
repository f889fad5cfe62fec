import type { ApiObject, Json } from '../kind.ts';
import { isJsonObject } from '../schema/walk.ts';

const always = ['metadata.name', 'metadata.namespace'];

const valueAt = (object: Json | undefined, path: readonly string[]): Json | undefined => {
  let value = object;
  for (const part of path) value = isJsonObject(value) ? value[part] : undefined;
  return value;
};

/** Fields that are asked for by another name than they have, and what counts where they are absent. */
const special: Readonly<Record<string, { readonly paths: readonly string[]; readonly absent: string }>> = {
  'spec.hostNetwork': { paths: ['spec.hostNetwork'], absent: 'false' },
  'spec.unschedulable': { paths: ['spec.unschedulable'], absent: 'false' },
  'status.replicas': { paths: ['status.replicas'], absent: '0' },
  'status.successful': { paths: ['status.succeeded'], absent: '0' },
  source: { paths: ['source.component', 'reportingComponent'], absent: '' },
};

/** Reads a field as selectors compare it: as text, empty where there is none. */
function readerOf(field: string): (object: ApiObject) => string {
  const { paths, absent } = special[field] ?? { paths: [field], absent: '' };
  const split = paths.map((path) => path.split('.'));
  return (object) => {
    for (const path of split) {
      const value = valueAt(object as Json, path);
      if (value === undefined || value === null || value === '') continue;
      return typeof value === 'object' ? JSON.stringify(value) : String(value);
    }
    return absent;
  };
}

/** Cut at commas; a backslash takes the next character as it is. */
function termsOf(text: string): string[] {
  const terms: string[] = [];
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === ',') {
      terms.push(text.slice(start, i));
      start = i + 1;
    }
  }
  terms.push(text.slice(start));
  return terms.filter((term) => term !== '');
}

function unescaped(value: string): string {
  let result = '';
  for (let i = 0; i < value.length; i++) {
    const char = value[i] as string;
    if (char === ',' || char === '=')
      throw new Error(`invalid field selector: unescaped character in value: ${char}`);
    if (char !== '\\') {
      result += char;
      continue;
    }
    const next = value[++i] ?? '';
    if (next === '' || !'\\,='.includes(next))
      throw new Error(`invalid field selector: invalid escape sequence: \\${next}`);
    result += next;
  }
  return result;
}

/**
 * A field selector as requests write it: `metadata.name=x,spec.nodeName!=y`. Only names and the fields in
 * `allowed` can be asked for. Throws an Error with Kubernetes' words where the text makes no sense.
 */
export function parseFieldSelector(
  text: string,
  allowed: readonly string[],
): { matches(object: ApiObject): boolean } {
  const tests = termsOf(text).map((term) => {
    const match = /^(.*?)(!=|==?)(.*)$/s.exec(term);
    if (!match) throw new Error(`invalid selector: '${text}'; can't understand '${term}'`);
    const [, field = '', operator, rest = ''] = match;
    const wanted = unescaped(rest);
    if (!always.includes(field) && !allowed.includes(field)) throw notSupported(field, allowed);
    const read = readerOf(field);
    return operator === '!='
      ? (object: ApiObject) => read(object) !== wanted
      : (object: ApiObject) => read(object) === wanted;
  });
  return { matches: (object) => tests.every((test) => test(object)) };
}

const notSupported = (field: string, allowed: readonly string[]): Error =>
  new Error(
    allowed.length > 0
      ? `field label not supported: ${field}`
      : `${JSON.stringify(field)} is not a known field selector: only ${always.map((one) => `"${one}"`).join(', ')}`,
  );
