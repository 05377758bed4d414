/** Names with any characters are quoted correctly, and secrets are never shown. */
import { inspect } from 'node:util';
import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createWatch, defineWatchers, type SlotWatch, table, type WatchOptions } from '../../src/index.ts';
import { startCluster } from '../support/cluster.ts';
import { useDatabase } from '../support/database.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

describe('names', () => {
  const db = useDatabase();
  const watchOf = watchOn(db);

  test.each([
    ['quotes', `o'clock "quoted" ''`],
    ['backslashes', String.raw`back\slash\' \\" E'\n'`],
    ['SQL', `x"; drop table bystander; --`],
    ['SQL after a single quote', `x'); drop table bystander; --`],
    ['dollars and percents', `$1 $$ %I %s %%`],
    ['commas, dots and spaces', ` a, b.c d `],
  ])('with %s are quoted everywhere: publication, schema, table and columns', async (_, name) => {
    await db.sql('create table if not exists bystander ()');
    const quoted = pg.escapeIdentifier(name);
    await db.sql(`create schema ${quoted}`);
    await db.sql(
      `create table ${quoted}.${quoted} (${quoted} int primary key, ${pg.escapeIdentifier(`${name}2`)} text)`,
    );
    await db.sql(`alter table ${quoted}.${quoted} replica identity full`);
    const definition = table<Record<string, unknown>>()({ tableName: name, schema: name, primaryKey: name });
    const watchers = defineWatchers([
      [definition, 'inserted', { label: 'in', extraColumns: [`${name}2`] }],
      [definition, 'updated', { label: 'up', triggerColumns: [`${name}2`] }],
      [definition, 'deleted', { label: 'out', extraColumns: [`${name}2`] }],
    ] as never);
    const watch: SlotWatch<any> = watchOf<any>(watchers, { publication: name });
    onTestFinished(async () => {
      await watch.stop();
      await db.sql(`drop publication if exists ${quoted}`);
    });
    const seen: unknown[] = [];
    for (const label of ['in', 'up', 'out'])
      watch.subscribe(label, (event: any) => void seen.push([label, event[name], event[`${name}2`]]));
    watch.subscribe('out', { [`${name}2`]: name }, () => void seen.push('filtered'));
    await watch.start();
    await db.sql(`insert into ${quoted}.${quoted} values (1, 'one')`);
    await db.sql(`update ${quoted}.${quoted} set ${pg.escapeIdentifier(`${name}2`)} = $1`, [name]);
    await db.sql(`delete from ${quoted}.${quoted}`);
    await settled(db, watch);
    expect(seen).toHaveLength(4);
    expect(seen).toEqual(
      expect.arrayContaining([['in', 1, 'one'], ['up', 1, undefined], ['out', 1, name], 'filtered']),
    );
    expect(await db.sql(`select to_regclass('bystander') is not null as stands`)).toEqual([{ stands: true }]);
    expect(await db.sql('select from pg_publication where pubname = $1', [name])).toHaveLength(1);
  });

  test.each([`x'; drop table bystander; --`, 'Quoted"Name', String.raw`back\slash`, '../x', 'x y'])(
    'a slot cannot be named %s',
    (slot) => {
      const watchers = defineWatchers([['users', 'inserted']]);
      expect(() => createWatch({ connection: db.url, slot, watchers })).toThrow(
        expect.objectContaining({ code: 'CONFIGURATION' }),
      );
    },
  );
});

describe('secrets', () => {
  const secret = 'S3cret/Pass';
  const encoded = encodeURIComponent(secret);
  const watchers = defineWatchers([['users', 'inserted']]);

  /** All output of a watch until it has failed, once or finally: errors with their properties, logs, warnings, status. */
  async function told(connection: WatchOptions['connection']): Promise<string> {
    const said: unknown[] = [];
    const log = (...line: unknown[]) => void said.push(line);
    const processWarning = (warning: Error) => void said.push(warning);
    process.on('warning', processWarning);
    try {
      const logger = { debug: log, info: log, warn: log, error: log };
      const watch = createWatch({ connection, slot: slotName(), watchers, logger, debug: true, connectTimeout: 1000 });
      for (const event of ['error', 'warning', 'disconnected'] as const) watch.on(event, log);
      let over = false;
      watch.on('disconnected', () => (over = true));
      const started = watch.start().catch((error: unknown) => {
        said.push(error);
        over = true;
      });
      await until(() => over, { describe: 'the failure' });
      said.push(watch.status(), watch.details('users:inserted'), watch);
      await watch.stop();
      await started;
    } catch (error) {
      said.push(error);
    } finally {
      process.off('warning', processWarning);
    }
    expect(said.length).toBeGreaterThan(0);
    return said.map((one) => `${inspect(one, { depth: 20, showHidden: true })}\n${json(one)}`).join('\n');
  }

  const json = (value: unknown): string => {
    const seen = new Set<unknown>();
    return JSON.stringify(value, (_, part: unknown) => {
      if (typeof part === 'bigint') return String(part);
      if (typeof part !== 'object' || part === null) return part;
      if (seen.has(part)) return undefined;
      seen.add(part);
      return part instanceof Error ? Object.assign({}, part, { message: part.message, stack: part.stack }) : part;
    });
  };

  const expectNoSecret = (text: string) => {
    expect(text).not.toContain(secret);
    expect(text).not.toContain(encoded);
    // Except for the example in a solution.
    expect(text.replaceAll('postgres://user:password@host:5432/database', '')).not.toMatch(/postgres(ql)?:\/\/\w/);
  };

  test('a wrong password is not repeated in any error, log line, event or status', async () => {
    await using cluster = await startCluster({
      hba: ['host all postgres 127.0.0.1/32 trust', 'host all all 127.0.0.1/32 scram-sha-256'],
    });
    await inSession(cluster.url, (client) => client.query(`create role worker login password 'another'`));
    const text = await told(`postgres://worker:${encoded}@127.0.0.1:${cluster.port}/postgres`);
    expect(text).toContain('AUTHENTICATION');
    expectNoSecret(text);
    const { port } = cluster;
    expectNoSecret(await told({ host: '127.0.0.1', port, user: 'worker', password: secret, database: 'postgres' }));
    expect(await cluster.log()).not.toContain(secret);
  });

  test('the password for an unreachable server is not repeated either', async () => {
    const text = await told(`postgres://worker:${encoded}@127.0.0.1:1/postgres`);
    expect(text).toContain('CONNECTION');
    expectNoSecret(text);
    expectNoSecret(await told(`postgres://worker:${encoded}@no-such-host.invalid/postgres`));
  });

  test.each([
    `postgres://worker:${secret}@[bad/postgres`,
    `postgres://worker:${secret}@host:port/postgres`,
    `postgres://worker:${encoded}%@127.0.0.1:1/postgres`,
    `postgres://worker:${encoded}@127.0.0.1:1/postgres?sslmode=verify-full&sslrootcert=/no/such/${secret}`,
  ])('an unreadable URL is not repeated either: %s', async (url) => {
    expectNoSecret(await told(url));
  });
});
