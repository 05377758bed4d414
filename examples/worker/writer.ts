import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'pg';

const newest = '(select max(id) from walwatch_example.users)';
const oldest = '(select min(id) from walwatch_example.users)';

const changes = [
  `insert into walwatch_example.users (name, email, role_id) values ('Ada', 'ada@example.org', 2)`,
  `update walwatch_example.users set phone = '+44 ' || floor(random() * 1e6) where id = ${newest}`,
  `insert into walwatch_example.packages (name, user_id) values ('A book', ${newest})`,
  `update walwatch_example.users set role_id = 1 where id = ${newest}`,
  `update walwatch_example.packages set name = 'Two books' where user_id = ${newest}`,
  `update walwatch_example.users set name = 'Ada Lovelace', role_id = 2 where id = ${newest}`,
  `delete from walwatch_example.users where id = ${oldest} and id < ${newest}`,
];

/** Writes to the tables over and over, as some other application would: it knows nothing of walwatch. */
export function startWriter(url: string): AsyncDisposable {
  const pool = new Pool({ connectionString: url, max: 1 });
  pool.on('error', () => {}); // the server ended an idle session: the next change opens another
  const stop = new AbortController();
  const stopped = write(pool, stop.signal);
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await stopped;
      await pool.end();
    },
  };
}

async function write(pool: Pool, signal: AbortSignal): Promise<void> {
  for (let step = 0; !signal.aborted; step++) {
    await pool.query(changes[step % changes.length]!).catch((error: unknown) => console.error('writer:', error));
    await delay(250, undefined, { signal }).catch(() => {}); // aborted: the loop ends
  }
}
