import { WatchError } from '../errors.ts';
import type { Difference } from './state.ts';

const reasons: Readonly<Record<Exclude<Difference, 'version'>, string>> = {
  key: 'the table was created again, or its key has other columns or types',
  gap: 'changes were lost',
  late: 'it subscribed after the start, and may have missed changes since it last ran',
  moved: 'more rows have changed their keys than walwatch remembers',
  elsewhere: 'its state is of another slot or another server',
  unattended:
    'a worker without this subscription used the slot in the meantime, or the subscription ended before its worker',
};

/** If changes were lost, deletes of that time are not delivered. */
const sweep =
  'Deletes that were missed are not delivered. When the rows are read, remove the entries that were not written again: see "sweep by version" in walwatch/docs/how-to/rebuild-a-read-model.md.';

/** Why a table is read from the start again; `reads`: or would be, without `afterGap: 'ignore'`. */
export function readAgain(
  subscription: string,
  table: string,
  difference: Exclude<Difference, 'version'>,
  reads: boolean,
): WatchError {
  const then = reads
    ? 'its existing rows are read again'
    : "with afterGap: 'ignore' its existing rows are not read again";
  return new WatchError('EXISTING_ROWS', `${subscription}: ${table}: ${reasons[difference]}; ${then}`, {
    solution: difference === 'moved' ? 'Nothing: rows may arrive twice.' : sweep,
  });
}

/** Another worker has taken over in the middle. */
export function taken(subscription: string, table: string): WatchError {
  return new WatchError(
    'CONNECTION',
    `${subscription}: another worker reads the existing rows of ${table}, or its state in walwatch.existing was changed`,
    { solution: 'Nothing, if another worker has taken over the slot.' },
  );
}

export function blocked(subscription: string, blockers: string): WatchError {
  return new WatchError(
    'EXISTING_ROWS',
    `${subscription}: reading existing rows waits for transactions that began before: ${blockers}`,
    {
      solution:
        'Wait until they end, or end them. What they wrote before the stream began is not in the stream, so walwatch must find it in the table.',
    },
  );
}

export function tooSlow(table: string, milliseconds: number): WatchError {
  return new WatchError('EXISTING_ROWS', `one row of ${table} cannot be read within ${milliseconds} ms`, {
    solution:
      'Check the load of the server, locks on the table, the size of its values, and whether its index is bloated.',
  });
}

export function dropped(subscription: string, cause: Error): WatchError {
  return new WatchError('EXISTING_ROWS', `${subscription}: ${cause.message}: its existing rows are not read further`, {
    solution: 'Nothing, if it is not needed any more. Otherwise create it again and restart the worker.',
    cause,
  });
}

export function interrupted(subscription: string, cause: unknown): WatchError {
  return new WatchError(
    'EXISTING_ROWS',
    `${subscription}: reading existing rows failed, and is tried again: ${(cause as Error).message}`,
    {
      solution:
        (cause as Partial<WatchError>).solution ??
        'Live events continue. walwatch retries reading: see the message of the server.',
      cause,
    },
  );
}

export function ended(subscription: string): WatchError {
  return new WatchError('STOPPED', `${subscription}: the subscription ended before its existing rows were read`);
}
