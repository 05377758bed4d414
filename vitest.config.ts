import { defineConfig } from 'vitest/config';

/** Many tests make handlers fail on purpose. Node does not print these warnings, but tests that listen to them still get them. */
const quiet = { execArgv: ['--disable-warning=WalwatchWarning'] };

/** Each file runs in a separate process (vitest's default pool), so that its leftovers can be attributed. */
const withServer = {
  ...quiet,
  setupFiles: ['test/support/latency.ts', 'test/support/no-leftovers.ts'],
  testTimeout: 60_000,
  hookTimeout: 60_000,
};

export default defineConfig({
  test: {
    // Servers and tests share the cores.
    maxWorkers: 2,
    // For the whole run, not for a project: integration and faults share one server.
    globalSetup: 'test/support/global-setup.ts',
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], ...quiet } },
      {
        test: {
          name: 'types',
          include: [],
          typecheck: { enabled: true, only: true, include: ['test/types/**/*.test-d.ts'], tsconfig: 'tsconfig.json' },
        },
      },
      { test: { name: 'integration', include: ['test/integration/**/*.test.ts'], ...withServer } },
      { test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], ...withServer } },
      { test: { name: 'security', include: ['test/security/**/*.test.ts'], ...withServer } },
      { test: { name: 'faults', include: ['test/faults/**/*.test.ts'], ...withServer } },
    ],
  },
});
