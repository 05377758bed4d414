/** A test watch gives handlers what a watch of the server gives them for the same changes. */
import { expect, test } from 'vitest';
import { compareLsn, defineWatchers, type SlotWatch } from '../../src/index.ts';
import { createOutbox } from '../../src/outbox/index.ts';
import { createTestWatch } from '../../src/testing/index.ts';
import { useDatabase } from '../support/database.ts';
import { settled, watchOn } from '../support/watching.ts';

interface DB {
  parcels: { id: number; weight: string | null; sent_at: Date; place: unknown };
}
const extraColumns = ['weight', 'sent_at', 'place'] as const;
const watchers = defineWatchers<DB>()(
  [
    ['parcels', ['inserted', 'updated'], { extraColumns }],
    ['parcels', 'deleted'],
    ['parcels', 'truncated'],
  ],
  { when: { 'parcels:updated': (event, previous) => event.weight !== previous.weight } },
);
const outbox = createOutbox<{ 'parcel.sent': { id: number } }>();
const sent = outbox.message('parcel.sent');
const list = ['parcels:inserted', 'parcels:updated', 'parcels:deleted', 'parcels:truncated'] as const;

const db = useDatabase();
const watchOf = watchOn(db);

/** Everything that a handler can see of a context. Positions, transaction ids and times are made comparable. */
function seen(context: any): unknown {
  if ('contexts' in context) return { ...seenOf(context), contexts: context.contexts.map(seen) };
  return seenOf(context);
}

function seenOf(context: any) {
  const { previous, signal } = context; // getters
  const { eventId, commitLsn, xid, committedAt, contexts: _, ...same } = context;
  return {
    ...same,
    previous,
    isAborted: signal.aborted,
    eventId: eventId.replace(commitLsn, 'LSN'),
    isPosition: compareLsn(commitLsn, '0/0') >= 0,
    xid: typeof xid,
    isTime: committedAt instanceof Date,
  };
}

/** The same handlers for both watches. Returns what each was called with. */
function handlersOn(watch: SlotWatch<typeof watchers>) {
  const heard: Record<string, unknown[]> = {};
  const hears =
    (name: string) =>
    (what: unknown, context: unknown): void =>
      void (heard[name] ??= []).push([shown(what), seen(context)]);
  const shown = (what: any): unknown =>
    what?.context ? { ...what, context: seen(what.context) } : Array.isArray(what) ? what.map(shown) : what;
  watch.subscribe('parcels:updated', hears('single'));
  watch.subscribe('parcels:updated', { weight: '2.50' }, hears('filtered'));
  const { existing } = watch.subscribe(list, hears('list'), { name: 'list', existing: 'v1' });
  watch.subscribe('parcels:inserted', hears('batch'), { batch: { size: 2, wait: 10_000 } });
  watch.subscribe(['parcels:inserted', 'parcels:deleted'], hears('batch of a list'), {
    batch: { size: 3, wait: 10_000, latest: true },
  });
  watch.onTransaction(async (transaction, context) => hears('transaction')(await transaction.toArray(), context));
  watch.onMessage(sent, hears('message'));
  watch.onMessage('cache', hears('plain message'));
  return { heard, existing };
}

const at = new Date('2026-01-02T03:04:05.678Z');
const parcel = (id: number, weight: string | null, place: unknown = null) => ({ id, weight, sent_at: at, place });
const annotations = { actor: 'user:7' };

/** Each transaction is one `deliver` of the test. */
async function changesOnServer(watch: SlotWatch<typeof watchers>): Promise<void> {
  const client = await db.client();
  const run = async (...steps: readonly (string | (() => Promise<void>))[]) => {
    await client.query('begin');
    for (const step of steps) await (typeof step === 'string' ? client.query(step) : step());
    await client.query('commit');
  };
  await run(
    () => outbox.annotate(client, annotations),
    `insert into parcels values (1, '1.50', '${at.toJSON()}', '{"shelf": [1, 2]}'), (2, null, '${at.toJSON()}', null)`,
    `delete from parcels where id = 2`,
  );
  await run(`update parcels set weight = '2.50' where id = 1`);
  await run(`update parcels set id = 3 where id = 1`);
  await run(`truncate parcels`);
  await run(() => outbox.emit(client, 'parcel.sent', { id: 3 }, { key: '3' }));
  await run(`select pg_logical_emit_message(true, 'cache', 'parcels')`);
  await settled(db, watch);
}

test.each(['full', 'default'] as const)('REPLICA IDENTITY %s', async (identity) => {
  await db.sql('drop table if exists parcels');
  await db.sql(`create table parcels (id int primary key, weight numeric(9, 2), sent_at timestamptz, place jsonb);
                alter table parcels replica identity ${identity}; insert into parcels values (0, null, '${at.toJSON()}', '7')`);
  const real = watchOf(watchers);
  const { heard: heardOfServer, existing } = handlersOn(real);
  await real.start();
  await existing.done;
  await changesOnServer(real);

  const watch = createTestWatch(watchers);
  const { heard } = handlersOn(watch);
  const full = (previous: Partial<DB['parcels']>) => (identity === 'full' ? { previous } : {});
  const shelf = { shelf: [1, 2] };
  await watch.deliver('parcels:inserted', parcel(0, null, 7), { existing: true });
  await watch.deliver(
    [
      { watcher: 'parcels:inserted', event: parcel(1, '1.50', shelf) },
      { watcher: 'parcels:inserted', event: parcel(2, null) },
      { watcher: 'parcels:deleted', event: { id: 2 } },
    ],
    { annotations },
  );
  await watch.deliver('parcels:updated', parcel(1, '2.50', shelf), full(parcel(1, '1.50', shelf)));
  const moved = identity === 'full' ? parcel(1, '2.50', shelf) : { id: 1 };
  await watch.deliver('parcels:updated', parcel(3, '2.50', shelf), { previous: moved });
  await watch.deliver('parcels:truncated', {});
  await watch.deliverMessage(sent, { id: 3 }, { key: '3' });
  await watch.deliverMessage('cache', 'parcels');
  expect(Object.keys(heard).toSorted()).toEqual(Object.keys(heardOfServer).toSorted());
  for (const name of Object.keys(heardOfServer)) expect([name, heard[name]]).toEqual([name, heardOfServer[name]]);
});
