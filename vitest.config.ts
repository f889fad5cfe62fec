import { defineConfig } from 'vitest/config';

// Two projects: `unit` runs beside the sources and needs nothing but node;
// `system` needs the tree that scripts/setup makes, and root.
// On a shared machine a test may lose a race against a neighbour's load; one that fails twice is broken.
const retry = process.env['CI'] ? 1 : 0;

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'scripts/**/*.test.ts', 'bench/**/*.test.ts', 'test/*.test.ts'],
          testTimeout: 20_000,
          retry,
          pool: 'forks',
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/conformance/**/*.test.ts', 'test/simulation/**/*.test.ts', 'test/e2e/**/*.test.ts'],
          testTimeout: 120_000,
          retry,
          hookTimeout: 240_000,
          pool: 'forks',
          fileParallelism: false,
        },
      },
    ],
  },
});
