import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'pg';
import type { SlotWatch } from 'walwatch';
import { isAway } from './database.ts';

const people = [
  'Ada Lovelace', 'Alan Turing', 'Barbara Liskov', 'Donald Knuth', 'Edsger Dijkstra', 'Frances Allen',
  'Hedy Lamarr', 'Katherine Johnson', 'Leslie Lamport', 'Margaret Hamilton', 'Niklaus Wirth', 'Radia Perlman',
]; // prettier-ignore

const newest = '(select max(id) from walwatch_example.users)';
const oldest = '(select min(id) from walwatch_example.users)';
const any = '(select id from walwatch_example.users order by random() limit 1)';

/** One user is inserted, changes and gets a package; another one changes; the oldest is deleted. */
const changesOf = (person: string) => {
  const [first] = person.split(' ');
  return [
    `insert into walwatch_example.users (name, email, role_id) values ('${first}', '${first!.toLowerCase()}@example.org', 2)`,
    `update walwatch_example.users set phone = '+44 ' || floor(random() * 1e6) where id = ${newest}`,
    `insert into walwatch_example.packages (name, user_id) values ('A book', ${newest})`,
    `update walwatch_example.users set role_id = 1 where id = ${newest}`,
    `update walwatch_example.packages set name = 'Two books' where user_id = ${newest}`,
    `update walwatch_example.users set name = '${person}', role_id = 2 where id = ${newest}`,
    `update walwatch_example.users set role_id = 1 + floor(random() * 3), phone = '+44 ' || floor(random() * 1e6) where id = ${any}`,
    `delete from walwatch_example.users where id = ${oldest} and id < ${newest}`,
  ];
};

/** On the first start: enough users to fill a page. */
const first = `
  insert into walwatch_example.users (name, email, role_id)
    select name, lower(split_part(name, ' ', 1)) || '@example.org', 1 + number % 3
      from unnest(array[${people.map((person) => `'${person}'`).join()}]) with ordinality as person (name, number)
      where not exists (select from walwatch_example.users)`;

/** Writes to the tables again and again, like another application, once the watch has connected. `WRITER=off` turns it off. */
export function startWriter(url: string, watch: Pick<SlotWatch, 'on'>): AsyncDisposable {
  const pool = new Pool({ connectionString: url, max: 1 });
  pool.on('error', () => {}); // the server ended an idle session: the next change opens another one
  const stop = new AbortController();
  const listening = new Promise<void>((resolve) => {
    watch.on('connected', () => resolve());
    stop.signal.addEventListener('abort', () => resolve());
  });
  const stopped = listening.then(() => write(pool, stop.signal));
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await stopped;
      await pool.end();
    },
  };
}

async function write(pool: Pool, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const run = (sql: string) =>
    pool.query(sql).catch((error: unknown) => {
      if (!isAway(error)) console.error('writer:', (error as Error).message);
    });
  await run(first);
  if (process.env['WRITER'] === 'off') return;
  const changes = people.flatMap(changesOf);
  for (let step = 0; !signal.aborted; step++) {
    await run(changes[step % changes.length]!);
    await delay(250, undefined, { signal }).catch(() => {}); // aborted: the loop ends
  }
}
