import type { Json } from '../../kind.ts';
import { isJsonObject, jsonEqual } from '../walk.ts';
import type { Expression } from './parse.ts';

/** A rule that could not be worked out: a field that is not there, or values that do not go together. */
export class EvaluationError extends Error {
  override readonly name = 'EvaluationError';
}

export type Names = Readonly<Record<string, Json>>;

const maxSteps = 200_000;

/** What an expression comes to. Throws EvaluationError. Its steps are counted, so that no rule takes long. */
export function evaluate(expression: Expression, names: Names): Json {
  return run(expression, names, { left: maxSteps });
}

interface Budget {
  left: number;
}

function run(e: Expression, names: Names, budget: Budget): Json {
  if (--budget.left < 0) throw new EvaluationError('the rule takes too many steps');
  const go = (inner: Expression) => run(inner, names, budget);
  switch (e.type) {
    case 'literal':
      return e.value;
    case 'name':
      if (!Object.hasOwn(names, e.name)) throw new EvaluationError(`undeclared reference to '${e.name}'`);
      return names[e.name] as Json;
    case 'list':
      return e.items.map(go);
    case 'select':
      return fieldOf(go(e.of), e.field);
    case 'index':
      return itemOf(go(e.of), go(e.at));
    case 'choice':
      return go(truth(go(e.test)) ? e.yes : e.no);
    case 'binary':
      return e.operator === '&&' || e.operator === '||'
        ? logical(
            e.operator === '||',
            () => truth(go(e.left)),
            () => truth(go(e.right)),
          )
        : operate(e.operator, go(e.left), go(e.right));
    case 'call':
      return call(e, names, budget);
  }
}

function truth(value: Json): boolean {
  if (typeof value !== 'boolean') throw new EvaluationError('no such overload: not a bool');
  return value;
}

/** Either side may settle it alone, even where the other one cannot be worked out. */
function logical(settles: boolean, left: () => boolean, right: () => boolean): boolean {
  let first: boolean;
  try {
    first = left();
  } catch (error) {
    if (error instanceof EvaluationError && right() === settles) return settles;
    throw error;
  }
  return first === settles ? settles : right();
}

function fieldOf(object: Json, field: string): Json {
  if (!isJsonObject(object) || !Object.hasOwn(object, field))
    throw new EvaluationError(`no such key: ${field}`);
  return object[field] as Json;
}

function itemOf(holder: Json, at: Json): Json {
  if (Array.isArray(holder) && typeof at === 'number') {
    const item = holder[at];
    if (item === undefined) throw new EvaluationError(`index out of bounds: ${at}`);
    return item;
  }
  return fieldOf(holder, String(at));
}

function operate(operator: string, a: Json, b: Json): Json {
  if (operator === '==') return jsonEqual(a, b);
  if (operator === '!=') return !jsonEqual(a, b);
  if (operator === 'in') {
    if (Array.isArray(b)) return b.some((item) => jsonEqual(item, a));
    if (isJsonObject(b)) return typeof a === 'string' && Object.hasOwn(b, a);
  }
  const areNumbers = typeof a === 'number' && typeof b === 'number';
  const areTexts = typeof a === 'string' && typeof b === 'string';
  if (operator === '+') {
    if (Array.isArray(a) && Array.isArray(b)) return [...a, ...b];
    if (areTexts) return a + b;
  }
  if (areNumbers || areTexts) {
    if (operator === '<') return a < b;
    if (operator === '<=') return a <= b;
    if (operator === '>') return a > b;
    if (operator === '>=') return a >= b;
  }
  if (areNumbers) return arithmetic(operator, a, b);
  throw new EvaluationError(`no such overload: ${operator}`);
}

function arithmetic(operator: string, a: number, b: number): number {
  if (operator === '+') return a + b;
  if (operator === '-') return a - b;
  if (operator === '*') return a * b;
  if (b === 0) throw new EvaluationError('division by zero');
  const isWhole = Number.isInteger(a) && Number.isInteger(b);
  if (operator === '/') return isWhole ? Math.trunc(a / b) : a / b;
  return a % b;
}

type Call = Extract<Expression, { readonly type: 'call' }>;

function call(e: Call, names: Names, budget: Budget): Json {
  const go = (inner: Expression | undefined): Json => {
    if (!inner) throw new EvaluationError(`no such overload: ${e.name}`);
    return run(inner, names, budget);
  };
  const [first, second] = e.args;
  if (!e.on) {
    if (e.name === '!') return !truth(go(first));
    if (e.name === '-') return operate('-', 0, go(first));
    if (e.name === 'size') return sizeOf(go(first));
    if (e.name === 'string') return String(go(first));
    if (e.name === 'int') return Math.trunc(Number(go(first)));
    if (e.name === 'has' && first?.type === 'select') {
      const holder = go(first.of);
      return isJsonObject(holder) && Object.hasOwn(holder, first.field);
    }
    throw new EvaluationError(`no such function: ${e.name}`);
  }
  const on = go(e.on);
  if (first?.type === 'name' && second && e.args.length === 2 && Object.hasOwn(macros, e.name))
    return (macros[e.name] as Macro)(itemsOf(on), (item) =>
      run(second, { ...names, [first.name]: item }, budget),
    );
  return e.name === 'size' ? sizeOf(on) : textCall(e.name, on, go(first));
}

function sizeOf(value: Json): number {
  if (typeof value === 'string') return Array.from(value).length;
  if (Array.isArray(value)) return value.length;
  if (isJsonObject(value)) return Object.keys(value).length;
  throw new EvaluationError('no such overload: size');
}

/** A map is gone through by its keys. */
function itemsOf(value: Json): readonly Json[] {
  if (Array.isArray(value)) return value;
  if (isJsonObject(value)) return Object.keys(value);
  throw new EvaluationError('expression of this type cannot be the range of a comprehension');
}

type Macro = (items: readonly Json[], of: (item: Json) => Json) => Json;
const macros: Readonly<Record<string, Macro>> = {
  all: (items, of) => items.every((item) => truth(of(item))),
  exists: (items, of) => items.some((item) => truth(of(item))),
  exists_one: (items, of) => items.filter((item) => truth(of(item))).length === 1,
  filter: (items, of) => items.filter((item) => truth(of(item))),
  map: (items, of) => items.map(of),
};

function textCall(name: string, on: Json, argument: Json): Json {
  if (typeof on !== 'string' || typeof argument !== 'string')
    throw new EvaluationError(`no such overload: ${name}`);
  if (name === 'startsWith') return on.startsWith(argument);
  if (name === 'endsWith') return on.endsWith(argument);
  if (name === 'contains') return on.includes(argument);
  if (name !== 'matches') throw new EvaluationError(`no such function: ${name}`);
  try {
    return new RegExp(argument, 'u').test(on);
  } catch (cause) {
    throw new EvaluationError(`${argument} is no pattern`, { cause });
  }
}
