import type { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { WatchError } from '../../../src/errors.ts';
import { resolveOptions } from '../../../src/options.ts';
import type { Session } from '../../../src/postgres/session.ts';
import { RetainedWalMonitor } from '../../../src/stream/held-back.ts';
import { Inspection } from '../../../src/stream/inspection.ts';
import type { Prepared } from '../../../src/setup/prepare.ts';
import { publicationNeeds } from '../../../src/setup/publication.ts';
import { bindWatchers } from '../../../src/watchers/bind.ts';
import { defineWatchers } from '../../../src/watchers/define.ts';
import { usersTable, watchersFor } from '../../support/sample-tables.ts';

const users = usersTable();
const { bound } = bindWatchers(watchersFor(['users', 'inserted']), [users], { major: 18 });
const prepared = {
  server: { major: 18 },
  tables: [users],
  publicationOid: 7,
  bound,
  needs: { ...publicationNeeds('p', bound, { major: 18 }), pushedDown: new Map() },
  publication: {
    oid: 7, allTables: false, ofSchemas: false, operations: new Set(['insert']), viaRoot: true, generatedColumns: false, comment: null,
    listed: [{ oid: users.oid, schema: 'public', name: 'users', columns: undefined, where: undefined, outside: [] }], carried: new Set(['"public"."users"']),
  },
} as unknown as Prepared; // prettier-ignore

const publication = {
  oid: 7, puballtables: false, pubinsert: true, pubupdate: true, pubdelete: true, pubtruncate: true, pubviaroot: true,
  generated_columns: false, of_schemas: false, comment: null, carried: [{ schema: 'public', name: 'users' }],
  listed: [{ oid: users.oid, schema: 'public', name: 'users' }],
}; // prettier-ignore
const table = {
  ...users, identity: 'd', leaves: [],
  columns: users.columns.map((one) => ({ name: one.name, number: one.number, type: one.typeOid, not_null: one.notNull, generated: '', toastable: false })),
  keys: [{ primary: true, identity: false, immediate: true, columns: ['id'] }],
}; // prettier-ignore

/** An inspection of a server that gives the answers of the test, or fails. */
function inspecting() {
  const server = { synchronous: '', recovery: false, publication: publication as object | undefined, failure: undefined as unknown }; // prettier-ignore
  const steps: string[] = [];
  const answers: readonly (readonly [string, () => readonly unknown[]])[] = [
    ['synchronous_standby_names', () => [{ inRecovery: server.recovery, synchronousStandbyNames: server.synchronous, megabytes: -1 }]],
    ['synchronized_standby_slots', () => []],
    ['pg_publication p', () => [server.publication].filter(Boolean)],
    ['pg_index', () => [table]],
  ]; // prettier-ignore
  const query = (text: string) => {
    const [of, rows] = answers.find(([part]) => text.includes(part)) ?? [text, () => []];
    steps.push(of);
    if (server.failure !== undefined && of === 'pg_publication p') return Promise.reject(server.failure as Error);
    return Promise.resolve({ rows: rows() });
  };
  const session = {
    isLost: false,
    use: (task: (client: Client) => unknown) => task({ query } as unknown as Client),
  };
  const told: string[] = [];
  const over: string[] = [];
  const options = resolveOptions({ connection: {}, slot: 's', watchers: defineWatchers([['users', 'inserted']]) } as never); // prettier-ignore
  const inspection = new Inspection(options, {
    retainedWal: new RetainedWalMonitor('s', undefined, () => {}),
    confirmed: () => undefined,
    heldBy: () => undefined,
    serverReached: () => {},
    narrow: () => {
      steps.push('narrow');
      return Promise.resolve([]);
    },
    log: console as never,
    warn: () => {},
    warnOnce: (warnings) => told.push(...Array.from(warnings, ({ code }) => code)),
    over: (warnings) => over.push(...Array.from(warnings, ({ code }) => code)),
  });
  return { server, session, inspection, steps, told, over, run: () => inspection.run(session as unknown as Session, prepared) }; // prettier-ignore
}

const locked = Object.assign(new Error('canceling statement due to lock timeout'), { code: '55P03' });

describe('an inspection', () => {
  test('sets a statement timeout, and restores the session', async () => {
    const { run, steps, told } = inspecting();
    await run();
    expect(steps[0]).toBe('set statement_timeout = 5000');
    expect(steps.at(-1)).toBe('reset statement_timeout');
    expect(told).toEqual([]);
  });

  test('without an answer in time is a warning and keeps the earlier findings, until the next answer', async () => {
    const { server, run, inspection, over } = inspecting();
    await run();
    server.publication = { ...publication, pubinsert: false };
    await run();
    expect(inspection.found.map(({ code }) => code)).toEqual(['PUBLICATION_CHANGED']);
    server.failure = locked;
    await run();
    await run();
    expect(inspection.found.map(({ code }) => code)).toEqual(['PUBLICATION_CHANGED', 'SERVER_BUSY']);
    server.failure = undefined;
    await run();
    expect(inspection.found.map(({ code }) => code)).toEqual(['PUBLICATION_CHANGED']);
    server.publication = publication;
    await run();
    expect(inspection.found).toEqual([]);
    expect(over).toEqual(['SERVER_BUSY', 'PUBLICATION_CHANGED']);
  });

  test('ends the connection when its session is lost or is being ended, and only then', async () => {
    const { server, session, run } = inspecting();
    server.failure = Object.assign(new Error('terminating connection'), { code: '57P01' });
    await expect(run()).rejects.toBe(server.failure);
    session.isLost = true;
    server.failure = locked;
    await expect(run()).rejects.toBe(locked);
  });

  test('ends the watch when the publication was dropped or re-created', async () => {
    for (const now of [undefined, { ...publication, oid: 8 }]) {
      const { server, run } = inspecting();
      server.publication = now;
      await expect(run()).rejects.toMatchObject({ code: 'PUBLICATION_LOST' });
    }
  });

  test('checks synchronous_standby_names before it writes anything, and not on a standby', async () => {
    const { server, session, run, steps, inspection } = inspecting();
    server.synchronous = '*';
    await expect(run()).rejects.toBeInstanceOf(WatchError);
    expect(steps).not.toContain('narrow');
    server.recovery = true;
    await run();
    expect(steps).toContain('narrow');
    await inspection.checkSynchronous(session as unknown as Session);
    server.recovery = false;
    await expect(inspection.checkSynchronous(session as unknown as Session)).rejects.toMatchObject({
      code: 'SYNCHRONOUS_STANDBY',
    });
  });

  test('reports a change that was made before the first inspection', async () => {
    const { server, run, inspection } = inspecting();
    inspection.connected(prepared);
    server.publication = { ...publication, pubinsert: false };
    await run();
    expect(inspection.found.map(({ code }) => code)).toEqual(['PUBLICATION_CHANGED']);
  });

  test('accepts what the publication left out at set-up, until it was complete once', async () => {
    const { server, run, inspection } = inspecting();
    inspection.connected({ ...prepared, publication: { ...prepared.publication, operations: new Set() } });
    const codes = async () => {
      await run();
      return inspection.found.map(({ code }) => code);
    };
    const without = { ...publication, pubinsert: false };
    server.publication = without;
    expect([await codes(), await codes()]).toEqual([[], []]);
    server.publication = publication;
    expect(await codes()).toEqual([]);
    server.publication = without;
    expect(await codes()).toEqual(['PUBLICATION_CHANGED']);
  });

  test('does not start while the previous one has no answer', async () => {
    const { run, steps } = inspecting();
    await Promise.all([run(), run()]);
    expect(steps.filter((step) => step === 'narrow')).toHaveLength(1);
  });
});
