import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import pg from 'pg';
import type { SlotWatch } from 'walwatch';
import { sse, toNodeHandler } from 'walwatch/sse';
import { type Database, isAway } from './database.ts';
import type { watchers } from './watchers.ts';

/** The page's files in the repository, whether this runs compiled or not. */
const page = new URL(
  import.meta.url.includes('/.build/') ? '../../../examples/worker/page/' : './page/',
  import.meta.url,
);

type Route = (request: IncomingMessage, url: URL) => Promise<{ type: string; body: string | Uint8Array } | undefined>;

/** Serves the live page on PORT, or on a free port, to this machine only. */
export async function servePage(
  watch: SlotWatch<typeof watchers>,
  database: Database,
): Promise<AsyncDisposable & { readonly url: string }> {
  const pool = new pg.Pool({ connectionString: database.url, max: 2 });
  pool.on('error', () => {}); // the server ended an idle session: the next query opens another one

  const live = toNodeHandler(
    // Everybody who can reach the page may see the users, and nothing else.
    sse(watch, { authorize: (_, { watcher }) => watcher.startsWith('walwatch_example.users:') }),
  );

  const users = `
    select users.id, users.name, email, phone, role_id, roles.name as role
      from walwatch_example.users left join walwatch_example.roles on roles.id = role_id`;
  const routes: Record<string, Route> = {
    'GET /': async () => ({ type: 'text/html', body: await readFile(new URL('index.html', page)) }),
    'GET /style.css': async () => ({ type: 'text/css', body: await readFile(new URL('style.css', page)) }),
    'GET /main.js': async () => ({ type: 'text/javascript', body: await bundle() }),
    'GET /status': async () => {
      const { state, lagBytes, slot, lastEventAt, heldBy } = watch.status();
      return json({
        state,
        lagBytes,
        slot,
        lastEventAt,
        heldBy: heldBy?.eventId,
        mayRunSql: Boolean(database.pageUrl),
      });
    },
    'GET /users': async (_, { searchParams }) => {
      const role = searchParams.get('role');
      const { rows } = await pool.query(`${users} where $1::int is null or role_id = $1 order by id desc limit 100`, [
        role,
      ]);
      return json(rows);
    },
    'GET /user': async (_, { searchParams }) => {
      const { rows } = await pool.query(`${users} where users.id = $1`, [searchParams.get('id')]);
      return json(rows[0] ?? null);
    },
    // Only on the embedded database, as a role that has no other rights. JSON is required because a form on another site
    // cannot send it.
    'POST /sql': async (request) => {
      if (!database.pageUrl || request.headers['content-type'] !== 'application/json') return undefined;
      const { sql } = JSON.parse(await read(request)) as { sql: string };
      return json(await runSql(database.pageUrl, sql));
    },
  };

  const server = createServer((request, response) => {
    const { host = '' } = request.headers;
    const url = URL.canParse(request.url ?? '/', `http://${host}`) && new URL(request.url ?? '/', `http://${host}`);
    // Another host name for this address may belong to another site, which could then read this page's data.
    if (!url || !['localhost', '127.0.0.1'].includes(url.hostname)) response.writeHead(421).end();
    else if (url.pathname === '/live') live(request, response);
    else void answer(routes[`${request.method} ${url.pathname}`], request, response, url);
  });
  await listen(server);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await pool.end();
    },
  };
}

async function answer(route: Route | undefined, request: IncomingMessage, response: ServerResponse, url: URL) {
  try {
    const found = await route?.(request, url);
    if (!found) response.writeHead(404).end();
    else
      response.writeHead(200, { 'content-type': `${found.type}; charset=utf-8`, ...securityHeaders }).end(found.body);
  } catch (error) {
    if (!isAway(error)) console.error('page:', error);
    response.writeHead(isAway(error) ? 503 : 500).end();
  }
}

const securityHeaders = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'self'; img-src data:; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
};

const json = (value: unknown) => ({ type: 'application/json', body: JSON.stringify(value) });

async function bundle(): Promise<Uint8Array> {
  const entry = fileURLToPath(new URL('main.ts', page));
  const { outputFiles } = await build({ entryPoints: [entry], bundle: true, format: 'esm', write: false });
  return outputFiles[0]!.contents;
}

async function read(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) if ((text += String(chunk)).length > 10_000) break;
  return text;
}

async function runSql(url: string, sql: string): Promise<{ done: string } | { error: string }> {
  const client = new pg.Client(url);
  try {
    await client.connect();
    const result = await client.query(sql);
    return { done: [result.command, result.rowCount].filter((part) => part !== null).join(' ') };
  } catch (error) {
    return { error: (error as Error).message };
  } finally {
    await client.end();
  }
}

/** Listens on the same port at each start, so that an open page reconnects; on a free port if that one is taken. */
async function listen(server: ReturnType<typeof createServer>): Promise<void> {
  const port = Number(process.env['PORT'] ?? 7474);
  for (const candidate of [port, 0]) {
    const taken = once(server, 'error');
    const listening = once(server, 'listening').then(() => undefined);
    server.listen(candidate, '127.0.0.1');
    const failed = await Promise.race([listening, taken]);
    if (!failed) return;
    if ((failed[0] as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw failed[0];
  }
}
