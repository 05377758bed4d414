import type { ConfigurationIssue } from '../errors.ts';

/** Objects that are passed by mistake instead of connection settings. The first one whose methods all exist is named in the error. */
const kinds: readonly (readonly [what: string, methods: readonly string[]])[] = [
  ['a Prisma client', ['$connect', '$transaction']],
  ['a Kysely', ['selectFrom', 'getExecutor']],
  ['a postgres.js sql', ['unsafe', 'begin']],
  ['a Drizzle database', ['select', 'insert', 'execute']],
  ['a pool or client', ['connect', 'query']],
  ['a database client', ['query']],
  ['a database client', ['connect']],
  ['a database client', ['raw']],
];

/** Other libraries' names for settings of node-postgres. */
const aliases: Readonly<Record<string, string>> = {
  url: 'connectionString', uri: 'connectionString', dsn: 'connectionString', username: 'user', hostname: 'host', db: 'database', dbname: 'database', pass: 'password',
}; // prettier-ignore

/** Refuses a client: node-postgres would not find settings in it, and connect to localhost or as another user. */
export function foreignIssue(given: unknown): ConfigurationIssue | undefined {
  if ((typeof given !== 'object' && typeof given !== 'function') || given === null) return undefined;
  const members = given as Readonly<Record<string, unknown>>;
  const found = kinds.find(([, methods]) => methods.every((name) => typeof members[name] === 'function'));
  if (!found) return undefined;
  const pool = typeof members['totalCount'] === 'number';
  const what = pool
    ? 'a Pool'
    : found[0] === 'a pool or client' && 'connectionParameters' in given
      ? 'a Client'
      : found[0];
  return {
    message: `connection is ${what}, but walwatch opens its own sessions`,
    solution: `Pass the URL that it was created with, or { host, port, user, password, database }: connection: process.env.DATABASE_URL`,
  };
}

/** Refuses settings that have the names of other libraries: node-postgres ignores them. */
export function aliasIssues(config: object): ConfigurationIssue[] {
  return Object.entries(aliases).flatMap(([alias, name]): ConfigurationIssue[] => {
    if (!Object.hasOwn(config, alias) || Object.hasOwn(config, name)) return [];
    return [{ message: `connection has no setting '${alias}'`, solution: `node-postgres calls it '${name}'.` }];
  });
}
