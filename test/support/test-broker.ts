import { build } from 'esbuild';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brokerSpawner, type SpawnBroker } from '../../src/ceph/broker/spawn-broker.ts';
import type { CephTree } from './ceph-tree.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));

/** Bundles the broker child from the sources, beside node_modules so that it finds koffi, and spawns that. */
export async function testBrokerSpawner(tree: CephTree): Promise<SpawnBroker> {
  const folder = join(repository, 'node_modules/.cache');
  await mkdir(folder, { recursive: true });
  const outfile = join(folder, `broker-for-tests-${process.pid}.mjs`);
  await build({
    stdin: {
      contents: "import { runBroker } from './src/ceph/broker/child.ts'; await runBroker();",
      resolveDir: repository,
      loader: 'ts',
    },
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['koffi'],
    logLevel: 'warning',
  });
  return brokerSpawner({ command: process.execPath, args: [outfile], libraryPath: tree.libraryPath });
}
