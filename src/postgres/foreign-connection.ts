import type { ConfigurationIssue } from '../errors.ts';

/** What somebody passes in the place of connection settings. The first that fits is meant. */
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

/** What other libraries call the settings of node-postgres. */
const aliases: Readonly<Record<string, string>> = {
  url: 'connectionString', uri: 'connectionString', dsn: 'connectionString', username: 'user', hostname: 'host', db: 'database', dbname: 'database', pass: 'password',
}; // prettier-ignore

/** A client, whose settings node-postgres would not see: it would connect to localhost, or as somebody else. */
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
    message: `connection is ${what}, but walwatch opens sessions of its own`,
    solution: `Pass the URL that it was made with, or { host, port, user, password, database }: connection: process.env.DATABASE_URL`,
  };
}

/** Settings under the names of other libraries, which node-postgres does not read. */
export function aliasIssues(config: object): ConfigurationIssue[] {
  return Object.entries(aliases).flatMap(([alias, name]): ConfigurationIssue[] => {
    if (!Object.hasOwn(config, alias) || Object.hasOwn(config, name)) return [];
    return [{ message: `connection has no setting '${alias}'`, solution: `node-postgres calls it '${name}'.` }];
  });
}
