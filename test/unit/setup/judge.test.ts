/** Facts in, the next step out: these tests read and write nothing. */
import { describe, expect, test } from 'vitest';
import type { ConfigurationError } from '../../../src/errors.ts';
import { type ResolvedOptions, resolveOptions, type WatchOptions } from '../../../src/options.ts';
import type { Server } from '../../../src/postgres/server.ts';
import type { Facts } from '../../../src/setup/facts.ts';
import { judge } from '../../../src/setup/judge.ts';
import { lostTables } from '../../../src/setup/losses.ts';
import { createdComment, type Marker, parseComment, withMarker } from '../../../src/setup/marker.ts';
import { type Memory, noMemory } from '../../../src/setup/memory.ts';
import type { Publication } from '../../../src/setup/publication.ts';
import type { Slot } from '../../../src/setup/slot.ts';
import { boundTo, usersTable } from '../../support/sample-tables.ts';

const users = usersTable();
const bound = boundTo(users, ['users', 'inserted']);
const server: Server = {
  major: 17, walLevel: 'logical', effectiveWalLevel: undefined, walSenderTimeout: 60_000, maxSlotWalKeepSize: undefined,
  synchronousStandbyNames: '', inRecovery: false, systemIdentifier: '1', database: 'shop', databaseOid: 5, role: 'ann', mayReplicate: true, startedAt: '0',
}; // prettier-ignore
const slot: Slot = {
  plugin: 'pgoutput', database: 'shop', activePid: undefined, confirmedFlushLsn: '0/20', restartLsn: '0/10', walStatus: 'reserved',
  invalidationReason: undefined, failover: false, synced: false, twoPhase: false,
}; // prettier-ignore
const marker: Marker = {
  version: 1, slot: 'worker', systemIdentifier: '1', databaseOid: 5, publicationOid: 9, createdLsn: '0/5',
}; // prettier-ignore

function publication(comment: string | null, more: Partial<Publication> = {}): Publication {
  const { oid, schema, name } = users;
  return {
    oid: 9, allTables: false, ofSchemas: false, operations: new Set(['insert']), viaRoot: true, generatedColumns: false,
    listed: [{ oid, schema, name, columns: undefined, where: undefined, outside: [] }], carried: new Set(['"public"."users"']), comment,
    ...more,
  }; // prettier-ignore
}

/** The verdict for the state after walwatch has created the publication; `more` changes that state. */
function verdictOf(more: Partial<Facts> = {}, options: Partial<WatchOptions> = {}, memory: Partial<Memory> = {}) {
  const resolved: ResolvedOptions = resolveOptions({
    connection: {},
    slot: 'worker',
    watchers: { entries: [] } as never,
    ...options,
  });
  const found = { publication: publication(createdComment), slot: undefined, ...more };
  const facts: Facts = {
    server, manage: resolved.manage, tables: [users], bound, misfits: [], identity: [], filters: new Map(), keepsExisting: false,
    marker: parseComment(found.publication?.comment ?? null).markers[0], ...found,
  }; // prettier-ignore
  return judge(facts, { ...noMemory, ...memory }, resolved);
}
const noted = (more: Partial<Marker> = {}) => publication(withMarker(createdComment, { ...marker, ...more }));

describe('a first start', () => {
  test('creates the publication, then the slot, and then streams', () => {
    expect(verdictOf({ publication: undefined })).toMatchObject({ step: { kind: 'publication' } });
    expect(verdictOf()).toMatchObject({ step: { kind: 'create slot' } });
    expect(verdictOf({ publication: noted(), slot })).toMatchObject({ verdict: 'ready', gap: undefined });
  });

  test('that crashed between slot and marker adds the slot to the marker', () => {
    expect(verdictOf({ slot })).toMatchObject({ step: { kind: 'note slot', adopted: true } });
  });

  test('waits while another session creates the slot', () => {
    const unfinished = { ...slot, confirmedFlushLsn: undefined, restartLsn: undefined, activePid: 7 };
    expect(verdictOf({ slot: unfinished })).toMatchObject({ verdict: 'wait' });
    expect(verdictOf({ slot: unfinished, publication: noted() })).toMatchObject({ verdict: 'wait' });
  });

  test("with manage: 'verify' reports all SQL at once", () => {
    const { verdict, error } = verdictOf({ publication: undefined }, { manage: 'verify' }) as unknown as {
      verdict: string;
      error: ConfigurationError;
    };
    expect(verdict).toBe('refused');
    expect(error.issues).toHaveLength(2);
  });
});

describe('a lost slot', () => {
  const lost = { publication: noted() };

  test("is reported with the position of its creation, also with 'verify' and on a standby, and never called a first start", () => {
    for (const more of [
      lost,
      { ...lost, manage: 'verify' as const },
      { ...lost, manage: 'verify' as const, server: { ...server, inRecovery: true } },
    ])
      expect(verdictOf(more)).toMatchObject({ error: { code: 'SLOT_LOST', message: expect.stringContaining('0/5') } });
    const verified = verdictOf(lost, { manage: 'verify', slot: { name: 'worker', onLost: 'recreate' } });
    expect(verified).toMatchObject({
      error: {
        code: 'SLOT_LOST',
        solution: expect.stringContaining('SELECT pg_catalog.pg_create_logical_replication_slot'),
      },
    });
  });

  test("is re-created with onLost: 'recreate'; the gap is stored before the first statement, and kept until it was reported", () => {
    const again = { slot: { name: 'worker', onLost: 'recreate' } } as const;
    const gap = { from: '0/5', reason: "the slot 'worker' was dropped" };
    const replace = { step: { kind: 'replace slot', ...gap } };
    expect(verdictOf(lost, again)).toMatchObject(replace);
    // A crash after the gap was stored, after the slot was created, and after the slot was stored.
    expect(verdictOf({ publication: noted({ gap }) }, again)).toMatchObject(replace);
    expect(verdictOf({ publication: noted({ gap }), slot }, again)).toMatchObject({
      step: { kind: 'note slot', adopted: false },
    });
    const told = { verdict: 'ready', gap: { ...gap, to: '0/20' } };
    expect(verdictOf({ publication: noted({ gap: { ...gap, to: '0/20' } }), slot })).toMatchObject(told);
    const memory = { acknowledged: '0/8', publicationOid: 9, pid: 3 };
    expect(verdictOf({ publication: noted({ gap: { ...gap, to: '0/20' } }), slot }, again, memory)).toMatchObject(told);
  });
});

describe('on a standby before its promotion', () => {
  const standby = { manage: 'verify', server: { ...server, inRecovery: true } } as const;

  test('a copy of the slot is not lost: walwatch retries', () => {
    expect(verdictOf({ ...standby, publication: noted(), slot: { ...slot, synced: true } })).toMatchObject({
      error: { code: 'SERVER_BUSY', retry: 'soon' },
    });
  });

  test('a process that has streamed waits, in any version', () => {
    const memory = { acknowledged: '0/8', pid: 3, publicationOid: 9, onPrimary: true };
    for (const major of [15, 17]) {
      const facts = { ...standby, server: { ...standby.server, major }, publication: noted() };
      expect(verdictOf(facts, {}, memory)).toMatchObject({ error: { code: 'SERVER_BUSY' } });
    }
    expect(verdictOf({ ...standby, server: { ...standby.server, major: 15 } })).toMatchObject({
      error: { code: 'CONFIGURATION' },
    });
  });
});

describe('a publication that walwatch did not create', () => {
  const foreign = (more: Partial<Publication>) => ({ publication: publication('of the billing team', more) });

  test('gets missing tables, and no other change', () => {
    expect(verdictOf(foreign({ listed: [], carried: new Set() }))).toMatchObject({ step: { kind: 'publication' } });
    const all = new Set(['insert', 'update', 'delete'] as const);
    expect(verdictOf(foreign({ operations: all }))).toMatchObject({ step: { kind: 'create slot' } });
    expect(verdictOf(foreign({ operations: all, allTables: true, listed: [] }))).toMatchObject({
      step: { kind: 'create slot' },
    });
  });

  test.each([
    ['an operation is missing', { operations: new Set(['delete'] as const) }, "publish = 'delete, insert'"],
    [
      'its rows are filtered',
      { listed: [{ ...publication(null).listed[0]!, where: '(id > 7)' }] },
      'DROP TABLE ONLY "public"."users"',
    ],
  ])('is refused, and the error has the SQL, if %s', (_, more, sql) => {
    expect(verdictOf(foreign(more))).toMatchObject({
      error: {
        code: 'CONFIGURATION',
        message: expect.stringContaining('did not create it'),
        solution: expect.stringContaining(sql),
      },
    });
    expect(verdictOf({ publication: publication(createdComment, more) }).verdict).toBe('change');
  });
});

test('a temporary slot needs only its publication, which is re-created if it is gone', () => {
  const temporary = { slot: { temporary: true } } as const;
  const memory = { publicationOid: 8, pid: 3, acknowledged: '0/8' };
  expect(verdictOf({ publication: undefined }, temporary, memory)).toMatchObject({ step: { kind: 'publication' } });
  expect(verdictOf({}, temporary, memory)).toMatchObject({ verdict: 'ready' });
  expect(verdictOf({}, { ...temporary, manage: 'verify' })).toMatchObject({ verdict: 'ready' });
});

describe('a table that the previous worker watched and the publication lost', () => {
  const lost = (found: Publication | undefined, watchers?: readonly string[], table = users) =>
    lostTables({
      publication: found, marker: watchers && { ...marker, watchers }, bound: boundTo(table, ['users', 'inserted']),
    } as Partial<Facts> as Facts); // prettier-ignore
  const without = publication(null, { carried: new Set() });

  test('is reported, but no other table', () => {
    expect(lost(without, ['users:inserted'])).toMatchObject([{ code: 'PUBLICATION_CHANGED' }]);
    expect(lost(publication(null), ['users:inserted'])).toEqual([]);
    expect(lost(without, ['posts:inserted'])).toEqual([]);
    expect([lost(without), lost(undefined, ['users:inserted'])]).toEqual([[], []]);
  });

  test('is not a partitioned table that is carried under the names of its partitions', () => {
    const leaves = { ...without, viaRoot: false };
    expect(lost(leaves, ['users:inserted'], usersTable({ kind: 'p' }))).toEqual([]);
  });
});
