// `npm run gen` makes every generated file anew; with --check it fails where one differs from what is committed.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const run = (/** @type {string} */ file, /** @type {string[]} */ args) => {
  const result = spawnSync(file, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (result.status !== 0) throw new Error(`${file} ${args.join(' ')} failed`);
};

run(join(root, 'node_modules/.bin/buf'), ['generate']);
for (const script of ['gen-kinds.mjs', 'gen-crds.mjs', 'gen-docs.mjs']) {
  if (existsSync(join(root, 'scripts', script))) run(process.execPath, [join(root, 'scripts', script)]);
}
if (process.argv.includes('--check')) {
  const status = spawnSync('git', ['status', '--porcelain', '--', 'src/gen', 'deploy', 'docs/reference'], {
    cwd: root,
    encoding: 'utf8',
  });
  if (status.status !== 0) throw new Error(`git status failed: ${status.stderr}`);
  if (status.stdout !== '') {
    process.stderr.write(`generated files differ from what is committed:\n${status.stdout}`);
    process.exitCode = 1;
  }
}
