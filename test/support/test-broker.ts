import { build } from 'esbuild';
import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brokerSpawner, type SpawnBroker } from '../../src/ceph/broker/spawn-broker.ts';
import type { CephTree } from './ceph-tree.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));

/** Bundles the broker child from the sources, beside node_modules so that it finds koffi, and spawns that. */
export async function testBrokerSpawner(tree: CephTree): Promise<SpawnBroker> {
  const folder = join(repository, 'node_modules/.cache');
  await mkdir(folder, { recursive: true });
  const fresh = join(folder, `broker-for-tests-${process.pid}.mjs`);
  const outfile = join(folder, 'broker-for-tests.mjs');
  await build({
    stdin: {
      contents: "import { runBroker } from './src/ceph/broker/child.ts'; await runBroker();",
      resolveDir: repository,
      loader: 'ts',
    },
    outfile: fresh,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['koffi'],
    logLevel: 'warning',
  });
  await rename(fresh, outfile); // Whole at any time, though another run may be starting brokers from it.
  return brokerSpawner({ command: process.execPath, args: [outfile], libraryPath: tree.libraryPath });
}
