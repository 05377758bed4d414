import { expect, test } from 'vitest';
import { type Annotations, defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { useNats } from '../support/nats.ts';
import { pairOn } from '../support/relaying.ts';
import { until } from '../support/until.ts';
import { watchOn } from '../support/watching.ts';

const db = useDatabase();
const pair = pairOn(watchOn(db), useNats());

test('a remote watch gets the annotations of a change', async () => {
  await db.sql('create table relayed (id int primary key)');
  const { remote, start } = await pair(defineWatchers([['relayed', 'inserted']]));
  const found: [unknown, Annotations][] = [];
  remote.subscribe('relayed:inserted', ({ id }, { annotations }) => void found.push([id, annotations]));
  await start();
  const annotations = { actor: 'user:7', text: 'quote " nul \0', nested: { list: [1, null] } };
  await db.sql(`do $$ begin
    insert into relayed values (1);
    perform pg_logical_emit_message(true, 'walwatch:annotations', '${JSON.stringify(annotations)}');
    insert into relayed values (2);
  end $$`);
  await until(() => found.length === 2, { describe: 'two events' });
  expect(found).toEqual([
    [1, {}],
    [2, annotations],
  ]);
});
