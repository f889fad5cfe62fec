import { notAcceptable } from '../status.ts';

/** How a client wants objects: as themselves, as rows of a Table, or their metadata only. */
export interface Accepted {
  readonly as: 'object' | 'table' | 'metadata';
  readonly yaml: boolean;
}

const offered = ['application/json', 'application/yaml'];
const plain: Accepted = { as: 'object', yaml: false };

interface MediaRange {
  readonly type: string;
  readonly parameters: Readonly<Record<string, string>>;
}

export function parseAccept(header: string): MediaRange[] {
  return header
    .split(',')
    .map((part) => {
      const [type = '', ...rest] = part.split(';').map((text) => text.trim());
      const parameters = Object.fromEntries(
        rest.map((text) => text.split('=', 2)).map(([k = '', v = '']) => [k, v]),
      );
      return { type: type.toLowerCase(), parameters };
    })
    .sort((a, b) => Number(b.parameters['q'] ?? 1) - Number(a.parameters['q'] ?? 1));
}

/** The first form in `Accept` that can be served; 406 where there is none. */
export function negotiate(header: string | undefined, canTable: boolean): Accepted {
  // What our own clients send, and nearly every request is theirs.
  if (header === undefined || header === '' || header === 'application/json') return plain;
  for (const { type, parameters } of parseAccept(header)) {
    const yaml = type === 'application/yaml';
    if (!yaml && type !== 'application/json' && type !== '*/*' && type !== 'application/*') continue;
    const as = parameters['as'];
    if (as === undefined) return { as: 'object', yaml };
    if (parameters['g'] !== 'meta.k8s.io' || (parameters['v'] !== 'v1' && parameters['v'] !== 'v1beta1'))
      continue;
    if (as === 'Table' && canTable) return { as: 'table', yaml };
    if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList') return { as: 'metadata', yaml };
  }
  throw notAcceptable(offered);
}
