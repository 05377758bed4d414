import pg from 'pg';
import type { Client } from 'pg';
import { connectOwn, Session, sessionConfig } from '../postgres/session.ts';
import { WatchError } from '../errors.ts';
import { classify } from '../setup/classify.ts';
import { UsageError } from './arguments.ts';
import type { Configuration } from './config.ts';

/** The application name of the command line's sessions in pg_stat_activity. */
export const sessionName = 'walwatch:cli';

/** Runs `work` over an ordinary session. @throws WatchError, UsageError */
export async function withSession<T>({ resolved }: Configuration, work: (client: Client) => Promise<T>): Promise<T> {
  const { connection, connectTimeout } = resolved;
  const session = new Session(sessionConfig(connection, { name: sessionName, connectTimeout }));
  try {
    await connectOwn(session);
    return await session.use(work);
  } catch (error) {
    throw error instanceof UsageError ? error : failure(error, resolved);
  } finally {
    session.close();
  }
}

/** The error as a watch would report it, without "walwatch tries again": a command does not. */
export function failure(error: unknown, { slot, publication }: Configuration['resolved']): WatchError {
  const known = classify(error, { slot: slot.name, publication: publication.name });
  const solution = known.solution?.replace(/^walwatch tries again\. /, '');
  if (solution === known.solution) return known;
  return new WatchError(known.code, known.message, { solution, cause: known.cause });
}

/** The server, database and role, without the password. */
export function describeConnection({ resolved }: Configuration): string {
  const { host, port, user, database } = new pg.Client(resolved.connection); // pg fills in PG* and its defaults
  return `${host}:${port}, database ${database ?? user ?? '(default)'}, role ${user ?? '(default)'}`;
}
