import { labelKeyErrors, labelValueErrors } from './label-syntax.ts';

type Labels = Readonly<Record<string, string>>;
type Test = (labels: Labels) => boolean;

interface Token {
  readonly type: 'end' | 'word' | ',' | '(' | ')' | '!' | 'operator';
  readonly text: string;
}

const operators = ['in', 'notin', '=', '==', '!=', 'gt', 'lt'];
const lexer = /\s*(?:(!=|==|[=!(),<>])|([^\s=!(),<>]+))/y;

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  lexer.lastIndex = 0;
  for (let match = lexer.exec(text); match; match = lexer.exec(text)) {
    const [, symbol, word] = match;
    if (word !== undefined) tokens.push({ type: 'word', text: word });
    else if (symbol && ',()!'.includes(symbol)) tokens.push({ type: symbol as Token['type'], text: symbol });
    else tokens.push({ type: 'operator', text: symbol as string });
  }
  tokens.push({ type: 'end', text: '' });
  return tokens;
}

/** Reads tokens one by one; past the end it stays at the end. */
interface Reader {
  peek(): Token;
  take(): Token;
}

function readerOf(tokens: readonly Token[]): Reader {
  let at = 0;
  const peek = () => tokens[Math.min(at, tokens.length - 1)] as Token;
  return {
    peek,
    take() {
      const token = peek();
      at++;
      return token;
    },
  };
}

/**
 * A label selector as requests write it: `a=b, c!=d, e in (f,g), h notin (i), j, !k, l>1`. A label that is
 * absent passes `!=` and `notin`. Throws an Error with Kubernetes' words where the text makes no sense.
 */
export function parseLabelSelector(text: string): { matches(labels: Labels): boolean } {
  const tests: Test[] = [];
  const reader = readerOf(tokensOf(text));
  for (let first = reader.peek(); first.type !== 'end'; first = reader.peek()) {
    if (first.type !== 'word' && first.type !== '!')
      throw new Error(`found '${first.text}', expected: !, identifier, or 'end of string'`);
    try {
      tests.push(requirement(reader));
    } catch (cause) {
      throw new Error(`unable to parse requirement: ${(cause as Error).message}`, { cause });
    }
    const after = reader.take();
    if (after.type === 'end') break;
    if (after.type !== ',') throw new Error(`found '${after.text}', expected: ',' or 'end of string'`);
    const next = reader.peek();
    if (next.type !== 'word' && next.type !== '!')
      throw new Error(`found '${next.text}', expected: identifier after ','`);
  }
  return { matches: (labels) => tests.every((test) => test(labels)) };
}

function requirement(reader: Reader): Test {
  const isAbsent = reader.peek().type === '!';
  if (isAbsent) reader.take();
  const { type, text: key } = reader.take();
  if (type !== 'word') throw new Error(`found '${key}', expected: identifier`);
  const wrong = labelKeyErrors(key);
  if (wrong.length > 0) throw new Error(`<nil>: Invalid value: ${JSON.stringify(key)}: ${wrong.join('; ')}`);
  const has = (labels: Labels) => Object.hasOwn(labels, key);
  const next = reader.peek().type;
  if (isAbsent) return (labels) => !has(labels);
  if (next === 'end' || next === ',') return has;

  const operator = operatorOf(reader.take());
  const values = operator === 'in' || operator === 'notin' ? listOfValues(reader) : [exactValue(reader)];
  if (operator === 'gt' || operator === 'lt') return bound(key, operator, values[0] as string);
  values.forEach((value, i) => {
    const [error] = labelValueErrors(value);
    if (error) throw new Error(`values[${i}][${key}]: Invalid value: ${JSON.stringify(value)}: ${error}`);
  });
  const wanted = new Set(values);
  const isWanted = (labels: Labels) => has(labels) && wanted.has(labels[key] as string);
  return operator === 'notin' || operator === '!=' ? (labels) => !isWanted(labels) : isWanted;
}

function operatorOf({ type, text }: Token): string {
  if (type === 'operator' && text === '>') return 'gt';
  if (type === 'operator' && text === '<') return 'lt';
  if (type === 'operator' || (type === 'word' && (text === 'in' || text === 'notin'))) return text;
  throw new Error(`found '${text}', expected: ${operators.join(', ')}`);
}

const integer = /^[+-]?\d{1,19}$/;

function bound(key: string, operator: string, value: string): Test {
  if (!integer.test(value))
    throw new Error(
      `values[0]: Invalid value: ${JSON.stringify(value)}: for 'Gt', 'Lt' operators, the value must be an integer`,
    );
  const limit = BigInt(value.replace(/^\+/, ''));
  return (labels) => {
    const own = labels[key];
    if (own === undefined || !integer.test(own)) return false;
    const number = BigInt(own.replace(/^\+/, ''));
    return operator === 'gt' ? number > limit : number < limit;
  };
}

/** `=` may have nothing after it: an empty value. */
function exactValue(reader: Reader): string {
  const { type } = reader.peek();
  if (type === 'end' || type === ',') return '';
  const token = reader.take();
  if (token.type !== 'word') throw new Error(`found '${token.text}', expected: identifier`);
  return token.text;
}

/** `(a,b)`; where nothing stands between commas or parentheses, it is an empty value. */
function listOfValues(reader: Reader): string[] {
  const open = reader.take();
  if (open.type !== '(') throw new Error(`found '${open.text}' expected: '('`);
  const values = new Set<string>();
  for (;;) {
    const { type, text } = reader.peek();
    if (type === 'word') {
      values.add(text);
      reader.take();
    } else if (type === ',' || type === ')') values.add('');
    else throw new Error(`found '${text}', expected: ',', ')' or identifier`);
    const after = reader.take();
    if (after.type === ')') return [...values];
    if (after.type !== ',') throw new Error(`found '${after.text}', expected: ',' or ')'`);
  }
}
