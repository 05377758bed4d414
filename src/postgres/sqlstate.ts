/**
 * The SQLSTATEs that walwatch acts on, with their names in the manual. Messages are translated, SQLSTATEs are not.
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export const sqlState = {
  protocolViolation: '08P01',
  featureNotSupported: '0A000',
  uniqueViolation: '23505',
  readOnlyTransaction: '25006',
  inFailedTransaction: '25P02',
  idleInTransactionTimeout: '25P03',
  transactionTimeout: '25P04',
  invalidAuthorization: '28000',
  invalidPassword: '28P01',
  invalidCatalogName: '3D000',
  invalidSchemaName: '3F000',
  serializationFailure: '40001',
  deadlockDetected: '40P01',
  insufficientPrivilege: '42501',
  syntaxError: '42601',
  undefinedColumn: '42703',
  undefinedObject: '42704',
  undefinedTable: '42P01',
  invalidColumnReference: '42P10',
  duplicateObject: '42710',
  duplicateSchema: '42P06',
  duplicateTable: '42P07',
  diskFull: '53100',
  outOfMemory: '53200',
  tooManyConnections: '53300',
  configurationLimitExceeded: '53400',
  programLimitExceeded: '54000',
  objectNotInPrerequisiteState: '55000',
  objectInUse: '55006',
  lockNotAvailable: '55P03',
  queryCanceled: '57014',
  cannotConnectNow: '57P03',
  undefinedFile: '58P01',
  internalError: 'XX000',
} as const;

/** The SQLSTATE of an error. Undefined: it does not come from PostgreSQL. Node's own codes, such as EPIPE, look similar, but no SQLSTATE begins with E. */
export function sqlStateOf(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' && /^(?!E)[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/** Whether the server ended the session instead of refusing a statement: a new session may succeed. */
export function endsSession(state: string): boolean {
  return /^(08|57P|25P0)/.test(state);
}

/** Whether a function of the application raised the error, such as an event trigger. It can use any SQLSTATE. */
export function isRaised(error: object, state: string): boolean {
  return state.startsWith('P0') || (error as { routine?: unknown }).routine === 'exec_stmt_raise';
}
