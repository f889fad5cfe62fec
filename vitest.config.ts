import { defineConfig } from 'vitest/config';

// Two projects: `unit` runs beside the sources and needs nothing but node;
// `system` needs the tree that scripts/setup makes, and root.
// On a shared machine a test may lose a race against a neighbour's load; one that fails twice is broken.
const retry = process.env['CI'] ? 1 : 0;
// A poll is over as soon as what it waits for is so: its limit only ends a test that has failed.
const expect = { poll: { timeout: 15_000 } };

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'scripts/**/*.test.ts', 'bench/**/*.test.ts', 'test/*.test.ts'],
          testTimeout: 20_000,
          retry,
          expect,
          pool: 'forks',
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/conformance/**/*.test.ts', 'test/simulation/**/*.test.ts', 'test/e2e/**/*.test.ts'],
          testTimeout: 120_000,
          retry,
          expect,
          hookTimeout: 240_000,
          pool: 'forks',
          fileParallelism: false,
        },
      },
    ],
  },
});
