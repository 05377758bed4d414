import type { ConfigurationIssue } from '../errors.ts';
import {
  completePublication, createPublication, extendPublication, narrowPublication, script,
} from '../setup/publication-sql.ts'; // prettier-ignore
import { type BoundWatcher, bindWarnings } from '../watchers/bind.ts';
import type { Watcher } from '../watchers/validate.ts';
import { type Check, check } from './checks.ts';
import type { Configuration } from './config.ts';
import type { ServerFacts } from './facts.ts';
import { identityChanges } from './replica-identity.ts';
import type { Survey } from './survey.ts';
import { tableName } from './watcher-name.ts';

/** Checks tables, keys and replica identities: one check for each watcher without problems, otherwise one for each problem. */
export function watcherChecks(found: Survey, { watchers }: Configuration, heirs: ServerFacts['heirs']): Check[] {
  const { changes } = identityChanges(watchers, found.tables, found.server);
  return [
    ...watchers.flatMap((watcher): Check[] => {
      const { name, table } = watcher;
      const ofWatcher = (issue: ConfigurationIssue) => issue.watcher === name;
      const misfits = found.misfits
        .filter(ofWatcher)
        .map(({ message, solution }) =>
          problem(watcher, message, 'otherwise PostgreSQL sends no events, or events without a key', solution),
        );
      const change = changes.find((one) => one.table.schema === table.schema && one.table.name === table.name);
      const identity = found.identity
        .filter(ofWatcher)
        .map(({ message, solution }) =>
          problem(watcher, message, 'old values come from the replica identity', change?.statement ?? solution),
        );
      const bound = found.bound.find((one) => one.watcher.name === name);
      const warnings = (bound ? bindWarnings(bound, []) : []).map(
        ({ message, solution }): Check => ({
          name, table: table.name, level: 'warning', found: message.replace(`${name}: `, ''), why: 'a handler that reads it would fail', fix: solution,
        }),
      ); // prettier-ignore
      const all = [...misfits, ...identity, ...warnings, ...(bound ? heirCheck(bound, watchers, heirs) : [])];
      if (all.length > 0 || !bound) return all;
      return [{
        name, table: table.name, level: 'ok',
        found: `key ${bound.primaryKey.join(', ')}, replica identity ${bound.table.replicaIdentity}`,
        why: 'events carry the key, and old values come from the replica identity',
      }]; // prettier-ignore
    }),
    // Problems of several watchers at once.
    ...[...found.misfits, ...found.identity]
      .filter(({ watcher }) => watcher === undefined)
      .map(({ message, solution, table }) =>
        problem({ name: table ?? 'watchers', table: { name: table } }, message, 'the watch would not start', solution),
      ),
  ];
}

/** With plain inheritance, PostgreSQL sends each row as one of the table that stores it. */
function heirCheck(
  { watcher, table }: BoundWatcher,
  watchers: readonly Watcher[],
  heirs: ServerFacts['heirs'],
): Check[] {
  const unwatched = heirs.filter(
    ({ parent, schema, name }) =>
      parent === table.oid &&
      !watchers.some((one) => one.type === watcher.type && one.table.schema === schema && one.table.name === name),
  );
  if (unwatched.length === 0) return [];
  const names = unwatched.map((heir) => tableName(heir));
  return [{
    name: watcher.name, table: watcher.table.name, level: 'warning',
    found: `changes of the tables that inherit from it are not watched: ${names.join(', ')}`,
    why: 'PostgreSQL publishes each of these tables separately; only partitions are sent as rows of their root',
    fix: `Watch these tables, too: ${names.map((name) => `['${name}', '${watcher.type}']`).join(', ')}. Or turn them into partitions.`,
  }]; // prettier-ignore
}

function problem(
  { name, table }: { readonly name: string; readonly table: { readonly name: string | undefined } },
  message: string,
  why: string,
  fix: string | undefined,
): Check {
  // The check shows the name already.
  return { name, table: table.name, level: 'problem', found: message.replace(`${name}: `, ''), why, fix };
}

const why = 'it lists the tables whose changes are sent';

export function publicationChecks(found: Survey, configuration: Configuration): Check[] {
  const { publication, needs, bound, ownership } = found;
  const { resolved, watchers } = configuration;
  const name = `publication '${needs.name}'`;
  const lost = found.losses.filter(({ about }) => about === 'publication');
  if (lost.length > 0) {
    return lost.map(({ error }) => ({ name, level: 'problem', found: error.message, why, fix: error.solution }));
  }
  if (bound.length < watchers.length) {
    const fix = 'Fix the watchers first.';
    return [{ name, level: 'warning', found: 'not checked, because some watchers have problems', why, fix }];
  }
  const byWorker = resolved.manage === 'create' && !found.server.inRecovery;
  const level = byWorker ? 'warning' : 'problem';
  const itself = byWorker ? ' -- a worker does this when it starts' : '';
  const run = (statements: readonly string[]) => `${script(statements)}${itself}`;
  if (!publication) {
    return [{ name, level, found: 'does not exist yet', why, fix: run([createPublication(needs)]) }];
  }
  const missing = completePublication(needs, publication);
  if (missing.length > 0) {
    const found = 'lacks something that the watchers need';
    const byHand = ownership === 'foreign' && missing.length > extendPublication(needs, publication).length;
    if (!byHand) return [{ name, level, found, why, fix: run(missing) }];
    const fix = `${script(missing)} -- walwatch did not create this publication, so it only adds tables to it`;
    return [{ name, level: 'problem', found, why, fix }];
  }
  const superfluous = publication.allTables || ownership === 'shared' ? [] : narrowPublication(needs, publication);
  return [
    check(superfluous.length === 0, 'warning', {
      name,
      found: superfluous.length === 0 ? 'has everything that the watchers need' : 'has more than the watchers need',
      why: superfluous.length === 0 ? why : 'the server also sends changes without a watcher',
      fix: ownership === 'foreign' ? `${script(superfluous)} -- if no other program reads it` : run(superfluous),
    }),
  ];
}
