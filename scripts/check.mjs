// `npm run check`: types, lint, format, generated files, and the tidy test; all of them run, then the verdict.
import { spawnSync } from 'node:child_process';
import { join, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const bin = (/** @type {string} */ name) => join(root, 'node_modules/.bin', name);
const formatted = ['src', 'test', 'bench', 'scripts', 'vitest.config.ts'];
/** @type {[name: string, file: string, args: string[]][]} */
const steps = [
  ['types', bin('tsc'), ['--noEmit']],
  ['lint', bin('oxlint'), ['--type-aware', '--quiet']],
  ['format', bin('oxfmt'), ['--check', ...formatted]],
  ['generated', process.execPath, [join(root, 'scripts/gen.mjs'), '--check']],
  ['tidy', bin('vitest'), ['run', '--project', 'unit', 'test/tidy.test.ts']],
];

let failed = 0;
for (const [name, file, args] of steps) {
  const started = Date.now();
  const result = spawnSync(file, args, { cwd: root, encoding: 'utf8' });
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  if (result.status === 0) process.stdout.write(`ok   ${name} ${seconds} s\n`);
  else {
    failed++;
    process.stdout.write(`FAIL ${name} ${seconds} s\n${result.stdout}${result.stderr}\n`);
  }
}
process.exitCode = failed === 0 ? 0 : 1;
