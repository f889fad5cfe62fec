import { spawnSync } from 'node:child_process';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { read, root, tracked } from './support/tracked-files.ts';

const sources = tracked.filter(
  (path) => /^src\/.*\.ts$/.test(path) && !path.endsWith('.test.ts') && !path.startsWith('src/gen/'),
);

// What each room may import, by folder; the first entry that holds a file is its room. See ARCHITECTURE.md.
const rooms: readonly (readonly [room: string, may: readonly string[]])[] = [
  ['src/main.ts', ['src']],
  ['src/roles', ['src/lib', 'src/kube', 'src/ceph', 'src/host', 'src/operator', 'src/csi', 'src/standalone']],
  ['src/lib', []],
  ['src/api', ['src/lib']],
  ['src/kube', ['src/lib', 'src/gen', 'src/api']],
  ['src/control', ['src/lib', 'src/api', 'src/kube']],
  ['src/ceph', ['src/lib']],
  ['src/host', ['src/lib']],
  ['src/operator', ['src/lib', 'src/gen', 'src/api', 'src/kube', 'src/control', 'src/ceph', 'src/host']],
  ['src/csi', ['src/lib', 'src/gen', 'src/api', 'src/kube', 'src/control', 'src/ceph', 'src/host']],
  ['src/agent', ['src/lib', 'src/gen', 'src/api', 'src/kube', 'src/control', 'src/host']],
  ['src/standalone/apiserver', ['src/lib', 'src/gen', 'src/api']],
  ['src/standalone/controllers', ['src/lib', 'src/gen', 'src/api', 'src/kube', 'src/control']],
  ['src/standalone/images', ['src/lib', 'src/gen']],
  ['src/standalone/machine', ['src/lib', 'src/gen', 'src/standalone/config.ts']],
  [
    'src/standalone/node',
    [
      'src/lib',
      'src/gen',
      'src/api',
      'src/kube',
      'src/control',
      'src/standalone/images',
      'src/standalone/config.ts',
    ],
  ],
  ['src/standalone', ['src/lib', 'src/gen', 'src/api', 'src/kube', 'src/control', 'src/standalone']],
  ['src/cli', ['src/lib', 'src/api', 'src/kube', 'src/control', 'src/standalone']],
];

const importsOf = (path: string): string[] =>
  [...read(path).matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((match) =>
    relative(root, resolve(root, dirname(path), match[1] as string)),
  );
const isIn = (path: string, room: string) => path === room || path.startsWith(`${room}/`);

describe('imports run one way', () => {
  test.each(rooms)('%s', (room, may) => {
    const earlier = rooms
      .slice(
        0,
        rooms.findIndex(([name]) => name === room),
      )
      .map(([name]) => name);
    const wrong: string[] = [];
    for (const path of sources.filter(
      (file) => isIn(file, room) && !earlier.some((other) => isIn(file, other)),
    )) {
      for (const target of importsOf(path)) {
        if (isIn(target, room) || may.some((folder) => isIn(target, folder))) continue;
        wrong.push(`${path} imports ${target}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('every source file is in a room', () => {
    expect(sources.filter((path) => !rooms.some(([room]) => isIn(path, room)))).toEqual([]);
  });

  test('only main.ts reads argv and the environment', () => {
    const readers = sources.filter(
      (path) => path !== 'src/main.ts' && /process\.(argv|env)\b/.test(read(path)),
    );
    expect(readers).toEqual([]);
  });
});

describe('names', () => {
  test('files are kebab-case', () => {
    const odd = tracked.filter(
      (path) => /^(src|test|bench|scripts)\//.test(path) && !path.startsWith('src/gen/'),
    );
    expect(odd.filter((path) => !/^([a-z0-9-]+\/)*[a-z0-9-]+(\.(test|yaml|d))?\.[a-z]+$/.test(path))).toEqual(
      [],
    );
  });

  test('no drawer for odds and ends', () => {
    const drawers = /(^|\/)(utils?|helpers?|types|common|misc|index)\.(ts|mjs)$/;
    expect(tracked.filter((path) => drawers.test(path) && !path.startsWith('src/gen/'))).toEqual([]);
  });
});

describe('length', () => {
  // Counted by the linter: no blank lines and comments in a function, all of them in a file.
  test('a file has 400 lines at most, a function 70', () => {
    const folders = ['src', 'test', 'bench', 'scripts'];
    const { stdout } = spawnSync(
      join(root, 'node_modules/.bin/oxlint'),
      ['-c', 'test/size-bounds.json', '--ignore-pattern', 'src/gen/**', '-f', 'json', ...folders],
      { cwd: root, encoding: 'utf8', maxBuffer: 16 * 1024 ** 2 },
    );
    const report = JSON.parse(stdout) as {
      number_of_files: number;
      diagnostics: { message: string; filename: string }[];
    };
    expect(report.number_of_files).toBeGreaterThan(sources.length);
    expect(report.diagnostics.map(({ message, filename }) => `${filename}: ${message}`)).toEqual([]);
  });
});

describe('the tree', () => {
  const texts = tracked.filter(
    (path) => /\.(ts|mjs|js|md|yaml|yml|json|sh|toml)$/.test(path) && path !== 'package-lock.json',
  );

  test('holds no path of a machine it was made on', () => {
    const machinePath = /\/(work|brief)\/[a-z]|\/home\/[a-z]+\//;
    expect(texts.filter((path) => machinePath.test(read(path)))).toEqual([]);
  });

  test('holds no secret', () => {
    const secret = /-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{40}|\bAQ[A-Za-z0-9+/]{36}==/;
    expect(texts.filter((path) => secret.test(read(path)))).toEqual([]);
  });

  test('names no registry that packages come from', () => {
    const hosts = /registry\.npmjs|deb\.debian\.org/;
    expect([...texts, 'package-lock.json'].filter((path) => hosts.test(read(path)))).toEqual([]);
  });
});
