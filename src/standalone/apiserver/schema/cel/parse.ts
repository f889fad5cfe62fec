import type { Json } from '../../kind.ts';

/** An expression of the Common Expression Language, as far as rules in CRDs use it. */
export type Expression =
  | { readonly type: 'literal'; readonly value: Json }
  | { readonly type: 'name'; readonly name: string }
  | { readonly type: 'list'; readonly items: readonly Expression[] }
  | { readonly type: 'select'; readonly of: Expression; readonly field: string }
  | { readonly type: 'index'; readonly of: Expression; readonly at: Expression }
  | {
      readonly type: 'call';
      readonly name: string;
      readonly on: Expression | undefined;
      readonly args: readonly Expression[];
    }
  | {
      readonly type: 'binary';
      readonly operator: string;
      readonly left: Expression;
      readonly right: Expression;
    }
  | {
      readonly type: 'choice';
      readonly test: Expression;
      readonly yes: Expression;
      readonly no: Expression;
    };

interface Token {
  readonly type: 'number' | 'text' | 'word' | 'symbol' | 'end';
  readonly text: string;
}

const lexer =
  /\s*(?:(\d+\.\d+(?:[eE][+-]?\d+)?|\d+)u?|(r?"(?:\\.|[^"\\])*"|r?'(?:\\.|[^'\\])*')|([A-Za-z_]\w*)|(&&|\|\||[=!<>]=|[-+*/%!<>?:.,()[\]]))/y;

function tokensOf(source: string): Token[] {
  const tokens: Token[] = [];
  lexer.lastIndex = 0;
  let end = 0;
  for (let match = lexer.exec(source); match; match = lexer.exec(source)) {
    const [, number, text, word, symbol] = match;
    if (number !== undefined) tokens.push({ type: 'number', text: number });
    else if (text !== undefined) tokens.push({ type: 'text', text });
    else if (word !== undefined) tokens.push({ type: 'word', text: word });
    else tokens.push({ type: 'symbol', text: symbol as string });
    end = lexer.lastIndex;
  }
  if (source.slice(end).trim() !== '') throw new SyntaxError(`unexpected ${source.slice(end).trim()[0]}`);
  tokens.push({ type: 'end', text: '' });
  return tokens;
}

const levels: readonly (readonly string[])[] = [
  ['||'],
  ['&&'],
  ['==', '!=', '<', '<=', '>', '>=', 'in'],
  ['+', '-'],
  ['*', '/', '%'],
];
const maxDepth = 100;
const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' };

function textOf(token: string): string {
  if (token.startsWith('r')) return token.slice(2, -1);
  return token.slice(1, -1).replaceAll(/\\(.)/gs, (_, char: string) => escapes[char] ?? char);
}

interface Reader {
  /** Whether this symbol or word comes next. */
  isNext(text: string): boolean;
  peek(): Token;
  take(): Token;
  expect(text: string): void;
  /** Runs `read` one level deeper; throws where that is too deep. */
  nested<T>(read: () => T): T;
}

function readerOf(tokens: readonly Token[]): Reader {
  let at = 0;
  let depth = 0;
  const peek = () => tokens[Math.min(at, tokens.length - 1)] as Token;
  const isNext = (text: string) => peek().type !== 'text' && peek().type !== 'end' && peek().text === text;
  return {
    isNext,
    peek,
    take() {
      const token = peek();
      at++;
      return token;
    },
    expect(text) {
      if (!isNext(text)) throw new SyntaxError(`expected ${text} before ${peek().text || 'the end'}`);
      at++;
    },
    nested(read) {
      if (++depth > maxDepth) throw new SyntaxError('nested too deeply');
      const result = read();
      depth--;
      return result;
    },
  };
}

/** Reads an expression. Throws SyntaxError where it is none, or uses more of the language than is known here. */
export function parseExpression(source: string): Expression {
  const reader = readerOf(tokensOf(source));
  const result = choice(reader);
  if (reader.peek().type !== 'end') throw new SyntaxError(`unexpected ${reader.peek().text}`);
  return result;
}

function choice(reader: Reader): Expression {
  const test = reader.nested(() => binary(reader, 0));
  if (!reader.isNext('?')) return test;
  reader.take();
  const yes = reader.nested(() => binary(reader, 0));
  reader.expect(':');
  return { type: 'choice', test, yes, no: reader.nested(() => choice(reader)) };
}

function binary(reader: Reader, level: number): Expression {
  const operators = levels[level];
  if (!operators) return unary(reader);
  let left = binary(reader, level + 1);
  while (operators.some(reader.isNext)) {
    const operator = reader.take().text;
    left = { type: 'binary', operator, left, right: binary(reader, level + 1) };
  }
  return left;
}

function unary(reader: Reader): Expression {
  if (!reader.isNext('!') && !reader.isNext('-')) return member(reader, primary(reader));
  const name = reader.take().text;
  return { type: 'call', name, on: undefined, args: [reader.nested(() => unary(reader))] };
}

function member(reader: Reader, start: Expression): Expression {
  let of = start;
  for (;;) {
    if (reader.isNext('[')) {
      reader.take();
      of = { type: 'index', of, at: choice(reader) };
      reader.expect(']');
    } else if (reader.isNext('.')) {
      reader.take();
      const { type, text: field } = reader.take();
      if (type !== 'word') throw new SyntaxError(`expected a name before ${field || 'the end'}`);
      of = reader.isNext('(')
        ? { type: 'call', name: field, on: of, args: list(reader, '(', ')') }
        : { type: 'select', of, field };
    } else return of;
  }
}

function list(reader: Reader, open: string, close: string): Expression[] {
  reader.expect(open);
  const items: Expression[] = [];
  while (!reader.isNext(close)) {
    items.push(choice(reader));
    if (reader.isNext(close)) break;
    reader.expect(',');
  }
  reader.expect(close);
  return items;
}

function primary(reader: Reader): Expression {
  if (reader.isNext('(')) {
    reader.take();
    const inner = choice(reader);
    reader.expect(')');
    return inner;
  }
  if (reader.isNext('[')) return { type: 'list', items: list(reader, '[', ']') };
  const { type, text } = reader.take();
  if (type === 'number') return { type: 'literal', value: Number(text) };
  if (type === 'text') return { type: 'literal', value: textOf(text) };
  if (type !== 'word') throw new SyntaxError(`unexpected ${text || 'end'}`);
  if (text === 'true' || text === 'false') return { type: 'literal', value: text === 'true' };
  if (text === 'null') return { type: 'literal', value: null };
  return reader.isNext('(')
    ? { type: 'call', name: text, on: undefined, args: list(reader, '(', ')') }
    : { type: 'name', name: text };
}
