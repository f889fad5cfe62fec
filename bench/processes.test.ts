import { describe, expect, test } from 'vitest';
import { listProcesses, parsePss, parseStat, roleOf, usageOf, withDescendants } from './processes.ts';

const one = (pid: number, parent: number, ...args: string[]) => ({ pid, parent, args });

describe('whose process is whose', () => {
  test('children of children count, brothers do not', () => {
    const all = [one(1, 0), one(10, 1), one(11, 10), one(12, 11), one(20, 1)];
    expect(withDescendants(all, new Set([10])).map(({ pid }) => pid)).toEqual([10, 11, 12]);
  });

  test('a parent that reads as its own child ends the search', () => {
    expect(withDescendants([one(3, 4), one(4, 3)], new Set([10]))).toEqual([]);
  });

  test('roles by their command line', () => {
    expect(roleOf(one(1, 0, 'node', '/a/holdfast.mjs', 'operator'))).toBe('operator');
    expect(roleOf(one(1, 0, 'node', '/a/holdfast.mjs', 'csi', 'node', '--driver', 'd'))).toBe('csi node');
    expect(roleOf(one(1, 0, 'node', '--max-old-space-size=192', '/a/holdfast.mjs', 'broker'))).toBe('broker');
    expect(roleOf(one(1, 0, 'ceph-mon', '-f'))).toBeUndefined();
  });
});

describe('/proc', () => {
  test('a name with spaces and parentheses does not shift the fields', () => {
    const stat = '42 (a ) b (c) S 7 42 42 0 -1 4194304 1 2 3 4 150 25 9 9 20 0 1 0 600 1 1';
    expect(parseStat(stat)).toEqual({ parent: 7, cpuMs: 1750 });
  });

  test('Pss, not one of its parts', () => {
    expect(parsePss('Rss:   900 kB\nPss:   321 kB\nPss_Anon:   5 kB\n')).toBe(321);
    expect(() => parsePss('Rss: 1 kB')).toThrow('no Pss');
  });

  test('this very process is there, with memory and a parent', async () => {
    const self = (await listProcesses()).find(({ pid }) => pid === process.pid);
    expect(self?.parent).toBe(process.ppid);
    expect((await usageOf(process.pid)).pssKib).toBeGreaterThan(10_000);
  });
});
