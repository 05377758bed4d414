/** Existing rows when workers without the subscription use the slot in between, and when versions change. */
import { describe, expect, test } from 'vitest';
import { defineWatchers, type EventContext } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ items: { id: number } }>()([['items', ['inserted', 'updated', 'deleted']]]);

type Manage = 'create' | 'verify';

async function itemsOf(rows: number): Promise<string> {
  await db.sql(`drop table if exists items; create table items (id int primary key);
                insert into items select generate_series(1, ${rows})`);
  return slotName();
}

/** Starts a worker, waits until it has read the existing rows, and stops it. */
async function read(slot: string, version: string, manage: Manage = 'create') {
  await using watch = watchOf(watchers, { slot, manage });
  const [ids, warnings]: [string[], string[]] = [[], []];
  watch.on('warning', ({ message }) => warnings.push(message));
  const subscription = watch.subscribe(
    'items:inserted',
    (_, { existing, eventId }: EventContext) => void (existing && ids.push(eventId)),
    { name: 'index', existing: version },
  );
  await watch.start();
  await subscription.existing.done;
  await settled(db, watch);
  return { ids, warnings };
}

/** A worker without the subscription uses the slot. */
async function useWithout(slot: string, manage: Manage): Promise<void> {
  await using watch = watchOf(watchers, { slot, manage });
  watch.subscribe('items:updated', () => {}, { name: 'another' });
  await watch.start();
  await settled(db, watch);
}

describe.each(['create', 'verify'] as const)("with manage: '%s'", (manage) => {
  test('a start without the subscription is a gap for it: the rows are read again, once', async () => {
    const slot = await itemsOf(3);
    await read(slot, 'v1'); // creates the slot
    await useWithout(slot, manage);
    expect(await read(slot, 'v1', manage)).toEqual({
      ids: [1, 2, 3].map((id) => `existing/v1/2/public.items/${id}`),
      warnings: [expect.stringContaining('a worker without this subscription used the slot in the meantime')],
    });
    expect(await read(slot, 'v1', manage)).toEqual({ ids: [], warnings: [] });
  });

  test('repeated starts with the subscription are not a gap', async () => {
    const slot = await itemsOf(3);
    await read(slot, 'v1');
    for (let starts = 1; starts <= 4; starts++)
      expect(await read(slot, 'v1', manage)).toEqual({ ids: [], warnings: [] });
  });
});

/** The comment of the publication as if this worker had written it last. */
async function noteWorker(slot: string, worker: string, attended: string): Promise<void> {
  const [{ comment }] = (await db.sql(
    `select obj_description(oid, 'pg_publication') as comment from pg_publication where pubname = $1`,
    [slot],
  )) as [{ comment: string }];
  const changed = comment
    .replace(/"worker":"[^"]*"/, `"worker":"${worker}"`)
    .replace(/"attended":"[^"]*"/, `"attended":"${attended}"`);
  expect(changed).not.toBe(comment);
  await db.sql(`comment on publication "${slot}" is '${changed}'`);
}

test('a worker of an older version, which notes nothing in our table, is a gap as well, once', async () => {
  const slot = await itemsOf(1);
  await read(slot, 'v1');
  await noteWorker(slot, 'older', 'another');
  expect((await read(slot, 'v1', 'verify')).ids).toEqual(['existing/v1/2/public.items/1']);
  for (let starts = 1; starts <= 3; starts++) expect((await read(slot, 'v1', 'verify')).ids).toEqual([]);
});

test('a worker that was killed before it took its state is not a gap', async () => {
  const slot = await itemsOf(1);
  await read(slot, 'v1');
  await noteWorker(slot, 'killed', 'killed');
  expect(await read(slot, 'v1')).toEqual({ ids: [], warnings: [] });
});

test('a role that may not write the stored state still starts without the subscription', async () => {
  const slot = await itemsOf(1);
  await read(slot, 'v1');
  const role = `limited_${slot}`;
  await db.sql(`create role ${role} login replication password 'x'`);
  try {
    const url = new URL(db.url);
    [url.username, url.password] = [role, 'x'];
    await using watch = watchOf(watchers, { slot, manage: 'verify', connection: url.href });
    watch.subscribe('items:updated', () => {});
    await watch.start();
    await watch.stop();
  } finally {
    await db.sql(`drop role ${role}`);
  }
});

test('a version that is used again has new event ids, so its rows do not look like repeated ones', async () => {
  const slot = await itemsOf(1);
  const ids: string[] = [];
  for (const version of ['v1', 'v2', 'v1', 'v1']) ids.push(...(await read(slot, version)).ids);
  expect(ids).toEqual(['existing/v1/1/public.items/1', 'existing/v2/1/public.items/1', 'existing/v1/2/public.items/1']);
});

test('the sweep by version: after a new one is read, entries of rows whose deletes were missed are those of the old one', async () => {
  const slot = await itemsOf(5);
  const index = new Map<number, string>();
  const build = async (version: string) => {
    await using watch = watchOf(watchers, { slot });
    const subscription = watch.subscribe(
      ['items:inserted', 'items:updated', 'items:deleted'],
      ({ type, event }) => void (type === 'deleted' ? index.delete(event.id) : index.set(event.id, version)),
      { name: 'index', existing: version },
    );
    await watch.start();
    await db.sql(`insert into items values (${version === 'v1' ? 10 : 20})`);
    await subscription.existing.done;
    await settled(db, watch);
  };
  await build('v1');
  await using other = watchOf(watchers, { slot });
  other.subscribe('items:deleted', () => {}, { name: 'another' });
  await other.start();
  await db.sql('delete from items where id in (2, 3)');
  await settled(db, other);
  await other.stop();
  await build('v2');
  expect([...index].toSorted(([a], [b]) => a - b)).toEqual([[1, 'v2'], [2, 'v1'], [3, 'v1'], [4, 'v2'], [5, 'v2'], [10, 'v2'], [20, 'v2']]); // prettier-ignore
});
