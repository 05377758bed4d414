import { defineConfig } from 'vitest/config';

const onServer = '*.database.test.ts';

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['*.test.ts'], exclude: [onServer] } },
      { test: { name: 'database', include: [onServer], globalSetup: './server.ts', hookTimeout: 60_000 } },
    ],
  },
});
