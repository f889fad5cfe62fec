import type { Json } from '../kind.ts';

/** Every value that a path finds in an object; none where nothing is there. */
export type JsonPath = (object: Json) => Json[];

type Step = (value: Json) => Json[];

const isMap = (value: Json): value is { [key: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const field =
  (name: string): Step =>
  (value) =>
    isMap(value) && Object.hasOwn(value, name) ? [value[name] as Json] : [];

const every: Step = (value) => (Array.isArray(value) ? value : isMap(value) ? Object.values(value) : []);

function slice(from: string, to: string): Step {
  return (value) =>
    Array.isArray(value)
      ? value.slice(from === '' ? 0 : Number(from), to === '' ? undefined : Number(to))
      : [];
}

const index =
  (at: number): Step =>
  (value) => {
    const found = Array.isArray(value) ? value.at(at) : undefined;
    return found === undefined ? [] : [found];
  };

const compare: Readonly<Record<string, (a: Json, b: Json) => boolean>> = {
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a !== null && b !== null && a < b,
  '<=': (a, b) => a !== null && b !== null && a <= b,
  '>': (a, b) => a !== null && b !== null && a > b,
  '>=': (a, b) => a !== null && b !== null && a >= b,
};

function literal(text: string): Json | undefined {
  const quoted = /^(["'])(.*)\1$/.exec(text);
  if (quoted) return (quoted[2] as string).replaceAll(/\\(.)/g, '$1');
  if (text === 'true' || text === 'false') return text === 'true';
  return text !== '' && !Number.isNaN(Number(text)) ? Number(text) : undefined;
}

/** `?(@.type=="Ready")`, or `?(@.ready)` for those that have it. */
function filter(text: string): Step | undefined {
  const inner = /^\?\(\s*@(.*)\)$/.exec(text)?.[1]?.trim();
  if (inner === undefined) return undefined;
  const parts = /^(.*?)\s*(==|!=|<=|>=|<|>)\s*(.+)$/.exec(inner);
  const path = compileSteps(parts?.[1] ?? inner);
  if (!path) return undefined;
  const keeps = (item: Json): boolean => {
    const [found] = walk(path, item);
    if (!parts) return found !== undefined;
    const wanted = literal(parts[3] as string);
    const holds = compare[parts[2] as string];
    return found !== undefined && wanted !== undefined && holds !== undefined && holds(found, wanted);
  };
  return (value) => every(value).filter(keeps);
}

function bracket(text: string): Step | undefined {
  if (text === '*') return every;
  if (/^-?\d+$/.test(text)) return index(Number(text));
  const range = /^(-?\d*):(-?\d*)$/.exec(text);
  if (range) return slice(range[1] as string, range[2] as string);
  const quoted = /^(["'])(.*)\1$/.exec(text);
  return quoted ? field((quoted[2] as string).replaceAll(/\\(.)/g, '$1')) : filter(text);
}

/** The end of a bracket that begins at `start`, past those in quotes and those inside it. */
function closing(text: string, start: number): number {
  let depth = 0;
  let quote = '';
  for (let i = start; i < text.length; i++) {
    const char = text[i] as string;
    if (quote !== '') {
      if (char === '\\') i++;
      else if (char === quote) quote = '';
    } else if (char === '"' || char === "'") quote = char;
    else if (char === '[') depth++;
    else if (char === ']' && --depth === 0) return i;
  }
  return -1;
}

function compileSteps(text: string): Step[] | undefined {
  const steps: Step[] = [];
  let at = 0;
  while (at < text.length) {
    if (text[at] === '[') {
      const end = closing(text, at);
      const step = end < 0 ? undefined : bracket(text.slice(at + 1, end).trim());
      if (!step) return undefined;
      steps.push(step);
      at = end + 1;
      continue;
    }
    // A dot in a field's name is written as `\.`.
    const name = /^\.?((?:\\.|[^.[\\])+)/.exec(text.slice(at));
    if (!name) return undefined;
    const plain = (name[1] as string).replaceAll(/\\(.)/g, '$1');
    steps.push(plain === '*' ? every : field(plain));
    at += name[0].length;
  }
  return steps;
}

const walk = (steps: readonly Step[], object: Json): Json[] =>
  steps.reduce<Json[]>((values, step) => values.flatMap(step), [object]);

const compiled = new Map<string, JsonPath | undefined>();
const maxCompiled = 2_000;

/**
 * Reads the part of JSONPath that CRD columns use: `.a.b`, `['a.b']`, `[0]`, `[-1]`, `[*]`, `[1:2]`,
 * `[?(@.type=="Ready")]`. Undefined where `text` is none of these.
 */
export function jsonPath(text: string): JsonPath | undefined {
  if (!compiled.has(text)) {
    if (compiled.size >= maxCompiled) compiled.clear();
    const bare = text.replace(/^\{(.*)\}$/, '$1').replace(/^\$/, '');
    const steps = bare === '.' ? [] : compileSteps(bare);
    compiled.set(text, steps && ((object) => walk(steps, object)));
  }
  return compiled.get(text);
}
