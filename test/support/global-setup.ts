/** Starts the server of the run once, and only for a run that has tests which need it. */
import type { TestProject } from 'vitest/node';
import { wantedVersion } from './binaries.ts';
import { nativeFolder } from './postgres-packages.ts';
import { startServer } from './server.ts';
import { createTemplate, inSession } from './template.ts';

export default async function setup(root: TestProject): Promise<(() => Promise<void>) | undefined> {
  if (!root.vitest.projects.some((project) => ['integration', 'faults', 'security'].includes(project.name)))
    return undefined;
  // Before the test files that start separate servers, side by side and against the clock.
  await nativeFolder(wantedVersion(process.env));
  const server = await startServer();
  await createTemplate(server.url);
  root.provide('server', { url: server.url, version: await majorVersion(server.url) });
  return async () => {
    await server[Symbol.asyncDispose]();
  };
}

const majorVersion = (url: string): Promise<number> =>
  inSession(url, async (client) => {
    const { rows } = await client.query<{ server_version_num: string }>('show server_version_num');
    return Math.floor(Number(rows[0]!.server_version_num) / 10_000);
  });
