/** Settings of an application or a DBA that could disturb a connection that streams for days. */
import { Socket } from 'node:net';
import { expect, inject, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { framed } from '../support/copying.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication, settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

test("timeouts for the application's queries do not end the stream", async () => {
  const watch = watchOf(defineWatchers([['users', 'inserted']]), {
    connection: {
      connectionString: db.url,
      query_timeout: 100,
      statement_timeout: 100,
      idle_in_transaction_session_timeout: 100,
    },
  });
  const disconnects = recorder();
  watch.on('disconnected', disconnects);
  await watch.start();
  const later = Date.now() + 400;
  await until(() => Date.now() > later, { describe: 'several of the timeouts to be over' });
  expect(disconnects.all).toEqual([]);
});

test('a publication that was missing while changes were written is PUBLICATION_LOST, although it exists again', async ({
  skip,
}) => {
  if (inject('server').version >= 18)
    skip('from 18 on such changes are skipped by the server without a word; a warning says that it may be so');
  const slot = slotName();
  const first = watchOf(defineWatchers([['users', 'inserted']]), { slot });
  await first.start();
  await first.stop();
  await db.sql(`drop publication "${slot}"`);
  await db.sql(`insert into users (name) values ('unpublished')`);
  await db.sql(`create publication "${slot}" for table users`);
  const second = watchOf(defineWatchers([['users', 'inserted']]), { slot });
  second.start().catch(() => {});
  await expect(second.closed).rejects.toMatchObject({ code: 'PUBLICATION_LOST' });
});

test('settings of the role do not affect values', async () => {
  await db.sql(
    `create table written (id int primary key, at timestamptz, span interval, bytes bytea, real float8, day date)`,
  );
  const role = `hostile_${process.pid}`;
  await db.sql(`create role ${role} login superuser`);
  try {
    for (const setting of [
      `datestyle = 'German'`, `intervalstyle = 'iso_8601'`, `timezone = 'Asia/Tokyo'`, `extra_float_digits = -15`,
      `bytea_output = 'escape'`, `client_encoding = 'LATIN1'`, `search_path = 'nowhere'`, `quote_all_identifiers = on`, `statement_timeout = '50ms'`,
    ]) await db.sql(`alter role ${role} set ${setting}`); // prettier-ignore
    const url = new URL(db.url);
    url.username = role;
    const columns = ['at', 'span', 'bytes', 'real', 'day'];
    const watch = watchOf(defineWatchers([['written', 'inserted', { extraColumns: columns }]]), {
      connection: url.href,
    });
    const events = recorder();
    watch.subscribe('written:inserted', events);
    await watch.start();
    await db.sql(
      `insert into written values (1, '2026-11-22 10:00:00.123456+02', '1 year 2 mons 3 days 04:05:06', '\\x00ff41', 0.1 + 0.2, '2026-11-22')`,
    );
    await settled(db, watch);
    await watch.stop();
    await dropSlotAndPublication(db, watch.status().slot); // the role owns it
    expect(events.all).toEqual(await db.sql('select * from written'));
  } finally {
    await db.sql(`drop role ${role}`);
  }
});

test.each([
  ['a length that is none', framed('d', Buffer.alloc(4), 2)],
  ['an unknown message of the replication protocol', framed('d', Buffer.from('x marks the spot'))],
  ['an unknown message of pgoutput', framed('d', Buffer.from(`w${'\0'.repeat(24)}?`))],
])('%s on the stream ends the watch with a PROTOCOL error', async (_, bytes) => {
  const sockets: Socket[] = [];
  const stream = () => {
    const socket = new Socket();
    sockets.push(socket);
    return socket;
  };
  const watch = watchOf(defineWatchers([['users', 'inserted']]), {
    connection: { connectionString: db.url, stream },
  });
  await watch.start();
  sockets.at(-1)!.push(bytes); // the walsender's session is the last one to be opened
  await expect(watch.closed).rejects.toMatchObject({ code: 'PROTOCOL' });
  expect(sockets).toHaveLength(3); // not retried
});
