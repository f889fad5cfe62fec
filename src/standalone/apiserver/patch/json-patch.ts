import type { Json } from '../kind.ts';
import { isJsonObject, jsonEqual } from '../schema/walk.ts';

const maxOperations = 10_000;

/** What an RFC 6902 patch makes of a copy of `doc`. Throws an Error that names the operation's path. */
export function jsonPatch(doc: Json, operations: Json[]): Json {
  if (operations.length > maxOperations)
    throw new Error(`the allowed maximum operations in a JSON patch is ${maxOperations}`);
  const root: { value: Json } = { value: structuredClone(doc) };
  for (const operation of operations) apply(root, operation);
  return root.value;
}

function apply(root: { value: Json }, operation: Json): void {
  if (!isJsonObject(operation)) throw new Error('an operation of a JSON patch is an object');
  const { op, path, from, value } = operation;
  if (typeof path !== 'string') throw new Error(`${String(op)} operation needs a path`);
  const source = () => {
    if (typeof from !== 'string') throw new Error(`${String(op)} operation needs a from`);
    return from;
  };
  const given = (): Json => {
    if (value === undefined) throw new Error(`${String(op)} operation at ${path} needs a value`);
    return structuredClone(value);
  };
  if (op === 'add') add(root, path, given());
  else if (op === 'remove') remove(root, path);
  else if (op === 'replace') {
    const next = given();
    read(root, path);
    if (path === '') root.value = next;
    else replace(root, path, next);
  } else if (op === 'copy') add(root, path, structuredClone(read(root, source())));
  else if (op === 'move') {
    const origin = source();
    if (path.startsWith(`${origin}/`)) throw new Error(`cannot move ${origin} into itself`);
    const moved = read(root, origin);
    if (origin === path) return;
    remove(root, origin);
    add(root, path, moved);
  } else if (op === 'test') {
    if (!jsonEqual(read(root, path), given())) throw new Error(`testing value ${path} failed: test failed`);
  } else throw new Error(`unexpected operation ${JSON.stringify(op)}`);
}

function tokensOf(path: string): string[] {
  if (path === '') return [];
  if (!path.startsWith('/')) throw new Error(`path ${path} must begin with a slash`);
  return path
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function indexOf(token: string, length: number, path: string): number {
  const index = /^(0|[1-9]\d*)$/.test(token) ? Number(token) : -1;
  if (index < 0 || index >= length) throw new Error(`${path}: invalid index ${JSON.stringify(token)}`);
  return index;
}

function step(at: Json, token: string, path: string): Json {
  if (Array.isArray(at)) return at[indexOf(token, at.length, path)] as Json;
  if (isJsonObject(at) && Object.hasOwn(at, token)) return at[token] as Json;
  throw new Error(`${path}: the path does not exist`);
}

const read = (root: { value: Json }, path: string): Json =>
  tokensOf(path).reduce<Json>((at, token) => step(at, token, path), root.value);

/** What holds the last part of a path, and that part. */
function holderOf(root: { value: Json }, path: string): { holder: Json; last: string } {
  const tokens = tokensOf(path);
  const last = tokens.pop() ?? '';
  return { holder: tokens.reduce<Json>((at, token) => step(at, token, path), root.value), last };
}

/** A field named `__proto__` must become a field, not a prototype. */
const setField = (object: object, field: string, value: Json) =>
  Object.defineProperty(object, field, { value, writable: true, enumerable: true, configurable: true });

function add(root: { value: Json }, path: string, value: Json): void {
  if (path === '') {
    root.value = value;
    return;
  }
  const { holder, last } = holderOf(root, path);
  if (Array.isArray(holder))
    holder.splice(last === '-' ? holder.length : indexOf(last, holder.length + 1, path), 0, value);
  else if (isJsonObject(holder)) setField(holder, last, value);
  else throw new Error(`${path}: the path does not exist`);
}

function replace(root: { value: Json }, path: string, value: Json): void {
  const { holder, last } = holderOf(root, path);
  if (Array.isArray(holder)) holder[indexOf(last, holder.length, path)] = value;
  else if (isJsonObject(holder)) setField(holder, last, value);
}

function remove(root: { value: Json }, path: string): void {
  read(root, path);
  if (path === '') {
    root.value = null;
    return;
  }
  const { holder, last } = holderOf(root, path);
  if (Array.isArray(holder)) holder.splice(indexOf(last, holder.length, path), 1);
  else if (isJsonObject(holder)) delete holder[last];
}
