// `npm test`: its own set-up, then every test; the last line counts them.
// A name after `--` keeps to the files that hold it: npm test -- kubectl
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  cacheDir,
  ensureBuild,
  ensureModules,
  failWith,
  requireHost,
  requireNode,
  root,
} from './prepare.mjs';

const filters = process.argv.slice(2).filter((word) => word !== '--');

/** @typedef {{ passed: number, failed: number, skipped: number }} Count */

/**
 * Runs one vitest project and counts. A run that ends without its report counts as one failure.
 * @param {string} project
 * @param {string} folder
 * @returns {Promise<Count>}
 */
async function runProject(project, folder) {
  const report = join(folder, `${project}.json`);
  const args = [
    'run',
    '--project',
    project,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ];
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const child = spawn(process.execPath, [vitest, ...args, '--passWithNoTests', ...filters], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const code = await new Promise((resolve) => child.once('close', resolve));
  const text = await readFile(report, 'utf8').catch(() => undefined);
  if (text === undefined) return { passed: 0, failed: 1, skipped: 0 };
  const result = JSON.parse(text);
  const failed =
    result.numFailedTests +
    result.testResults.filter(
      (/** @type {any} */ file) => file.status === 'failed' && file.assertionResults.length === 0,
    ).length;
  return {
    passed: result.numPassedTests,
    failed: code === 0 ? failed : Math.max(1, failed),
    skipped: result.numPendingTests + result.numTodoTests,
  };
}

async function main() {
  requireNode();
  await ensureModules();
  await ensureBuild();
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-test-'));
  /** @type {Count} */
  const sum = { passed: 0, failed: 0, skipped: 0 };
  try {
    const add = (/** @type {Count} */ count) => {
      sum.passed += count.passed;
      sum.failed += count.failed;
      sum.skipped += count.skipped;
    };
    add(await runProject('unit', folder));
    await requireHost();
    const { ensureTree } = await import('./setup.mjs');
    await ensureTree({ cacheDir, onProgress: () => undefined });
    add(await runProject('system', folder));
  } catch (error) {
    sum.failed++; // What could not be run is not passed.
    failWith(error);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const skipped = sum.skipped > 0 ? `, ${sum.skipped} skipped` : '';
  process.stdout.write(`${sum.passed} passed, ${sum.failed} failed${skipped}\n`);
  process.exitCode = sum.failed === 0 && sum.passed > 0 ? 0 : 1;
}

await main();
