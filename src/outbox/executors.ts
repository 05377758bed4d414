import { type ConfigurationIssue, shown } from '../errors.ts';

/** A logical message that `run` writes. */
export interface Statement {
  readonly prefix: string;
  /** JSON in UTF-8. */
  readonly content: Buffer;
}

/** What the executors have in common: they are recognized by their properties. */
type Properties = Readonly<Record<PropertyKey, unknown>>;

/** One kind of executor, such as the transactions of Kysely. */
interface Kind {
  recognizes(executor: Properties): boolean;
  /** The problem, if it is known to be outside of a transaction. */
  refusal(executor: Properties): ConfigurationIssue | undefined;
  run(executor: any, statement: Statement): PromiseLike<unknown>;
}

// Bytes, not text: the server would convert text to the encoding of the database, and pgoutput sends it without converting it back.
// Base64, because every driver can send a string. Everything is qualified, because the application's search_path may be hostile.
const sql =
  "select pg_catalog.pg_logical_emit_message(true, $1::pg_catalog.text, pg_catalog.decode($2::pg_catalog.text, 'base64'))";
const valuesOf = ({ prefix, content }: Statement): [prefix: string, content: string] => [
  prefix,
  content.toString('base64'),
];

const isFunction = (value: unknown): boolean => typeof value === 'function';
const outside = (message: string, solution: string): ConfigurationIssue => ({ message, solution });

const prisma: Kind = {
  recognizes: ({ $executeRawUnsafe }) => isFunction($executeRawUnsafe),
  // A transaction client has $transaction as well, for savepoints. Only the client itself has $connect.
  refusal: ({ $connect }) =>
    isFunction($connect)
      ? outside('this Prisma client is not in a transaction', 'Pass the tx of prisma.$transaction(async (tx) => …).')
      : undefined,
  run: (tx, statement) => tx.$executeRawUnsafe(sql, ...valuesOf(statement)),
};

const kysely: Kind = {
  recognizes: ({ isTransaction, executeQuery }) => typeof isTransaction === 'boolean' && isFunction(executeQuery),
  refusal: ({ isTransaction }) =>
    isTransaction === true
      ? undefined
      : outside('this Kysely is not in a transaction', 'Pass the trx of db.transaction().execute(async (trx) => …).'),
  // What `CompiledQuery.raw(sql, values)` returns. Plugins and the log look at `query` and `queryId`.
  run: (trx, statement) =>
    trx.executeQuery({
      sql,
      parameters: valuesOf(statement),
      query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] },
      queryId: { queryId: `walwatch-${++queries}` },
    }),
};
let queries = 0;

const drizzle: Kind = {
  recognizes: ({ execute, transaction, rollback }) =>
    isFunction(execute) && (isFunction(transaction) || isFunction(rollback)),
  refusal: ({ rollback }) =>
    isFunction(rollback)
      ? undefined
      : outside('this Drizzle database is not in a transaction', 'Pass the tx of db.transaction(async (tx) => …).'),
  // A string cannot have parameters. Hexadecimal digits are safe in it, whatever the settings of the session are.
  run: (tx, { prefix, content }) => tx.execute(
    `select pg_catalog.pg_logical_emit_message(true, pg_catalog.convert_from(pg_catalog.decode('${Buffer.from(prefix).toString('hex')}', 'hex'), 'UTF8'), pg_catalog.decode('${content.toString('hex')}', 'hex'))`,
  ), // prettier-ignore
};

const postgresJs: Kind = {
  recognizes: ({ unsafe }) => isFunction(unsafe),
  refusal: ({ savepoint }) =>
    isFunction(savepoint)
      ? undefined
      : outside(
          'this postgres.js sql is not in a transaction',
          'Pass the sql of sql.begin(async (sql) => …). A reserved connection cannot tell whether it is in a transaction.',
        ),
  run: (tx, statement) => tx.unsafe(sql, valuesOf(statement)),
};

const pg: Kind = {
  recognizes: ({ query }) => isFunction(query),
  refusal: (client) => {
    if (typeof client['totalCount'] === 'number')
      return outside('a Pool is not in a transaction', 'Pass a client of pool.connect() after BEGIN.');
    const { getTransactionStatus, readyForQuery } = client;
    // A busy client has the status from before its unfinished statements, and BEGIN may be one of them.
    if (!isFunction(getTransactionStatus) || readyForQuery === false) return undefined;
    return (getTransactionStatus as () => unknown).call(client) === 'I'
      ? outside('this client is not in a transaction', "Run client.query('BEGIN') first.")
      : undefined;
  },
  run: (client, statement) => client.query(sql, valuesOf(statement)),
};

/** A transaction of Drizzle may have a property `query`, and one of Prisma any name of a model. */
const kinds: readonly Kind[] = [prisma, kysely, drizzle, postgresJs, pg];

function kindOf(executor: unknown): Kind | undefined {
  const isObject = (typeof executor === 'object' && executor !== null) || typeof executor === 'function';
  return isObject ? kinds.find((kind) => kind.recognizes(executor as Properties)) : undefined;
}

/** The problem of an executor: of an unknown kind, or known to be outside of a transaction. */
export function executorIssues(executor: unknown): ConfigurationIssue[] {
  const kind = kindOf(executor);
  const refusal = kind
    ? kind.refusal(executor as Properties)
    : {
        message: `the executor must be the client or transaction of pg, Kysely, Drizzle, Prisma or postgres.js, but is ${unknownKind(executor)}`,
        solution: 'Pass the client or transaction that runs the other queries of the transaction.',
      };
  return refusal ? [refusal] : [];
}

/** Only the class of an object: it may hold a password. */
function unknownKind(executor: unknown): string {
  if (typeof executor === 'function') return 'a function';
  if (typeof executor !== 'object' || executor === null) return shown(executor);
  const name: unknown = (executor as { constructor?: { name?: unknown } }).constructor?.name;
  return typeof name === 'string' && name !== '' && name !== 'Object'
    ? `an instance of ${name}`
    : 'an object without their methods';
}

/** Writes the message in the transaction of an executor that has no issues. */
export async function run(executor: unknown, statement: Statement): Promise<void> {
  await kindOf(executor)!.run(executor, statement);
}
