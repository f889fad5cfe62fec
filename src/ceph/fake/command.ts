import { cephError } from '../errno.ts';
import type { CephCommand } from '../seam.ts';
import type { FakePool, FakeState } from './state.ts';

/** One command as a handler sees it. */
export interface FakeCall {
  readonly state: FakeState;
  readonly command: CephCommand;
  readonly input: string | undefined;
  readonly nowMs: number;
}

/** A handler gives the answer: an object becomes JSON, a string stays text, undefined is an empty answer. */
export type FakeHandler = (call: FakeCall) => unknown;
export type FakeHandlers = Readonly<Record<string, FakeHandler>>;

export function optional(call: FakeCall, field: string): string | undefined {
  const value = call.command[field];
  if (value === undefined) return undefined;
  if (Array.isArray(value)) return String(value[0]);
  return String(value);
}

/** A string argument; a number is refused where Ceph wants a string. */
export function text(call: FakeCall, field: string): string {
  const value = call.command[field];
  if (value === undefined) return '';
  if (typeof value !== 'string')
    throw cephError('EINVAL', call.command.prefix, `bad or missing field '${field}'`);
  return value;
}

export function list(call: FakeCall, field: string): string[] {
  const value = call.command[field];
  if (value === undefined) return [];
  if (!Array.isArray(value))
    throw cephError('EINVAL', call.command.prefix, `bad or missing field '${field}'`);
  return value.map(String);
}

export function integer(call: FakeCall, field: string): number {
  const value = call.command[field];
  if (typeof value !== 'number' || !Number.isInteger(value))
    throw cephError('EINVAL', call.command.prefix, `bad or missing field '${field}'`);
  return value;
}

export const flag = (call: FakeCall, field: string): boolean => call.command[field] === true;

export function fail(call: FakeCall, name: Parameters<typeof cephError>[0], message: string): never {
  throw cephError(name, call.command.prefix, message);
}

export function poolOf(call: FakeCall, field = 'pool'): FakePool {
  const name = text(call, field);
  return call.state.pools.get(name) ?? fail(call, 'ENOENT', `unrecognized pool '${name}'`);
}

/** `osd.3` and `3` are the same OSD. */
export const osdNumber = (id: string): number => Number(id.replace(/^osd\./, ''));

/** Ceph's way to write a moment, with microseconds. */
export const stamp = (ms: number): string => new Date(ms).toISOString().replace('Z', '000+0000');
