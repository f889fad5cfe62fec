import { dirname, join, normalize } from 'node:path';
import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import type { CliProcess } from '../src/cli/context.ts';
import { addVerbs } from '../src/cli/verbs.ts';
import type { RoleProcess } from '../src/roles/role-process.ts';
import { addRoles } from '../src/roles/roles.ts';
import { read, tracked } from './support/tracked-files.ts';

// What the Markdown files say of this tree is held to the tree: links, file names, commands, flags, rooms.

const folders = new Set(
  tracked.flatMap((path) => path.split('/').map((_, depth, parts) => parts.slice(0, depth).join('/'))),
);
const pages = tracked.filter((path) => path.endsWith('.md'));
const main = read('src/main.ts');
const cli = read('docs/reference/cli.md');

const fencedOrIndented = /^```[^\n]*\n[\s\S]*?^```|^(?: {4}\S.*\n?)+/gm;
const codeBlocks = (text: string) => text.match(fencedOrIndented) ?? [];
const prose = (text: string) => text.replaceAll(fencedOrIndented, '');
const inlineCode = (text: string) =>
  [...prose(text).matchAll(/`([^`\n]+)`/g)].map(([, code]) => code as string);

/** As the place that shows Markdown makes anchors of headings. */
const anchorsOf = (text: string) =>
  [...prose(text).matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
    (title as string)
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );

describe('links', () => {
  test.each(pages)('%s', (page) => {
    const broken = [...prose(read(page)).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target]) => target as string)
      .filter((target) => !/^(https?|mailto):/.test(target))
      .filter((target) => {
        const [file = '', anchor] = target.split('#');
        const path = file === '' ? page : normalize(join(dirname(page), file)).replace(/\/$/, '');
        if (!tracked.includes(path) && !folders.has(path)) return true;
        return anchor !== undefined && !anchorsOf(read(path)).includes(anchor);
      });
    expect(broken).toEqual([]);
  });

  test('every page is reached from the README', () => {
    const seen = new Set(['README.md']);
    for (const page of seen)
      for (const [, target] of read(page).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
        const path = normalize(join(dirname(page), target as string)).replace(/\/$/, '');
        for (const found of pages) if (found === path || dirname(found) === path) seen.add(found);
      }
    expect(pages.filter((page) => !seen.has(page))).toEqual([]);
  });
});

const rooms = /^(src|scripts|test|bench|deploy|docs|examples|proto|bin)\//;
const placeholders = ['x.ts', 'x.test.ts'];

/** A file name, whole or its end as in `storage/attach.ts`, or a folder from the root on. */
function isThere(name: string): boolean {
  const path = name.replace(/\/$/, '');
  return tracked.some((file) => file === path || file.endsWith(`/${path}`)) || folders.has(path);
}

describe('file names', () => {
  test.each(pages)('%s', (page) => {
    const names = inlineCode(read(page)).filter(
      (code) =>
        /^[\w.-]+(\/[\w.-]+)*\/?$/.test(code) &&
        (rooms.test(code) || /\.(ts|mjs|sh|md)$/.test(code)) &&
        !placeholders.includes(code),
    );
    expect(names.filter((name) => !isThere(name))).toEqual([]);
  });
});

interface Verb {
  readonly name: string;
  readonly hidden: boolean;
  readonly flags: readonly string[];
}

/** Every verb and role with its flags. A group such as csi is no verb; what is in it is for no person. */
function verbsOf(group: Command, prefix = ''): Verb[] {
  const shown = group.createHelp().visibleCommands(group);
  return group.commands.flatMap((command) => {
    const name = `${prefix}${command.name()}`;
    if (command.commands.length > 0) return verbsOf(command, `${name} `);
    const flags = command.options.flatMap(({ long }) => long ?? []);
    return [{ name, hidden: prefix !== '' || !shown.includes(command), flags }];
  });
}

const program = new Command('holdfast').enablePositionalOptions();
addVerbs(program, { context: { dataDir: '' } } as CliProcess);
addRoles(program, { settings: { images: {} } } as RoleProcess);
const verbs = verbsOf(program);

/** What cli.md says of a verb: its section, or its row in the table of roles. */
function sectionOf({ name, hidden }: Verb): string {
  if (hidden) return cli.split('\n').find((line) => line.startsWith(`| \`${name}\` |`)) ?? '';
  return cli.split(/^## /m).find((part) => part.startsWith(`${name}\n`)) ?? '';
}

describe('docs/reference/cli.md', () => {
  test.each(verbs.map((verb) => [verb.name, verb] as const))('%s', (_name, verb) => {
    const section = sectionOf(verb);
    expect(section).not.toBe('');
    const said = [
      ...new Set(section.match(/`(?:-\w`, `)?--[a-z-]+/g)?.map((code) => code.replace(/.*`/, ''))),
    ];
    // `kubectl` says of --data-dir that it is not there.
    const known = verb.name === 'kubectl' ? ['--data-dir'] : verb.flags;
    expect(verb.flags.filter((flag) => !said.includes(flag))).toEqual([]);
    expect(said.filter((flag) => !known.includes(flag))).toEqual([]);
  });

  test('every environment variable', () => {
    const used = new Set([...main.matchAll(/env\['(HOLDFAST_\w+)'\]/g)].map(([, name]) => name as string));
    expect([...used].filter((name) => !cli.includes(`\`${name}\``))).toEqual([]);
  });
});

describe('commands that a page tells to run', () => {
  const scripts = Object.keys((JSON.parse(read('package.json')) as { scripts: object }).scripts);
  const wrongIn = (line: string): boolean => {
    const words = line.split(/\s+/);
    if (words[0] === 'npm') {
      const script = words[1] === 'run' ? words[2] : words[1];
      return !['ci', 'install'].includes(words[1] ?? '') && !scripts.includes(script ?? '');
    }
    const [, name = '', second = ''] = words;
    if (name.startsWith('-') || name.startsWith('<') || name === 'help') return false;
    const verb = verbs.find((one) => one.name === name || one.name === `${name} ${second}`);
    if (!verb) return !verbs.some((one) => one.name.startsWith(`${name} `));
    if (verb.name === 'kubectl') return false; // The rest is kubectl's.
    return words.some((word) => word.startsWith('--') && !verb.flags.includes(word.replace(/=.*/, '')));
  };

  test.each(pages)('%s', (page) => {
    const text = read(page);
    const lines = [...codeBlocks(text).flatMap((block) => block.split('\n')), ...inlineCode(text)]
      .map((line) => line.trim().replace(/^([A-Z_]+=\S+\s+)+/, ''))
      .map((line) => line.replace(/\s+#.*$/, ''))
      .filter((line) => /^(npm|(bin\/)?holdfast) /.test(line));
    expect(lines.filter((line) => wrongIn(line))).toEqual([]);
  });
});

test('ARCHITECTURE.md has every room, and what it may import, as test/tidy.test.ts holds it', () => {
  const held = [...read('test/tidy.test.ts').matchAll(/\[\s*'(src\/[\w/.-]+)',\s*\[([^\]]*)\]/g)].map(
    ([, room, may]) => {
      const names = [...(may as string).matchAll(/'src\/([\w/.-]+)'/g)].map(([, name]) => name as string);
      return [room as string, names.filter((name) => name !== 'lib' && `src/${name}` !== room).toSorted()];
    },
  );
  expect(held.length).toBeGreaterThan(10);
  const rows = new Map(
    [...read('ARCHITECTURE.md').matchAll(/^\| `(src\/[\w/.-]+)` \|[^|]*\|([^|]*)\|$/gm)].map(
      ([, room, may]) => [
        room as string,
        (may as string)
          .split(',')
          .flatMap((name) => (name.trim() ? [name.trim()] : []))
          .toSorted(),
      ],
    ),
  );
  const alone = ['src/main.ts', 'src/lib']; // The one may everything, the other nothing.
  for (const [room, may] of held) {
    if (alone.includes(room as string) || !folders.has(room as string)) continue;
    expect([room, rows.get(room as string)]).toEqual([room, may]);
  }
});
