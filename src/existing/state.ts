import type { Client, CustomTypesConfig } from 'pg';
import type { IsFresh } from '../delivery/recorder.ts';
import { formatLsn, parseLsn } from '../postgres/lsn.ts';
import { withMigration } from '../postgres/migration.ts';
import type { ExistingChange } from './existing-row.ts';
import type { KeyChange } from './key-changes.ts';
import { idOf, type KeyTexts } from './key-order.ts';

/** Whose state it is. */
export interface StateKey {
  readonly slot: string;
  readonly subscription: string;
  /** `schema.table` */
  readonly table: string;
  readonly version: string;
}

/** Where and by which worker the table is read. A state from another server or slot is not valid here. */
export interface Origin {
  readonly systemIdentifier: string;
  /** Where the slot was made; empty: not known. */
  readonly slotLsn: string;
  readonly worker: string;
  /** The worker that had the slot before, if it is of a version that notes nothing in walwatch.existing. */
  readonly before: string | undefined;
}

/** A row that some watchers of the subscription have handled, and others have not. */
export interface Partly {
  readonly key: KeyTexts;
  readonly by: readonly string[];
}

/** Position and place of a change. */
export type Moved = readonly [lsn: bigint, ordinal: number];

/** The progress of a table. */
export interface State {
  readonly run: number;
  readonly done: boolean;
  /** Where reading ends. Undefined: not known yet. */
  readonly end: KeyTexts | undefined;
  /** All rows up to this key are handled. Undefined: none. */
  readonly cursor: KeyTexts | undefined;
  /** Those beyond it that are handled as well. */
  readonly ahead: readonly KeyTexts[];
  /** With `transaction`, and several watchers of the table. */
  readonly partly: readonly Partly[];
  readonly reread: readonly KeyChange[];
  /** The last change that is in this list, or was. */
  readonly moved: Moved;
  readonly rows: number;
}

export const unread: Omit<State, 'run'> = {
  done: false,
  end: undefined,
  cursor: undefined,
  ahead: [],
  partly: [],
  reread: [],
  moved: [0n, -1],
  rows: 0,
};

/** Why a table is read from the start again, as its reader knows: changes were lost, it subscribed late, or too many keys have changed. */
export type Restart = 'gap' | 'late' | 'moved';

/** Why the stored state is not continued. */
export type Difference = Restart | 'version' | 'key' | 'elsewhere' | 'unattended';

export interface Loaded {
  readonly state: State;
  /** This worker had it already. */
  readonly own: boolean;
  /** Undefined: it is continued, or there was none. */
  readonly difference: Difference | undefined;
}

/** The session may be a handler's, with parsers of the application's. */
const types = { getTypeParser: () => (text: string) => text } as CustomTypesConfig;
const ofState =
  'slot operator(pg_catalog.=) $1 and subscription operator(pg_catalog.=) $2 and table_name operator(pg_catalog.=) $3';
const ofRun = `${ofState} and version operator(pg_catalog.=) $4 and owner operator(pg_catalog.=) $5 and run operator(pg_catalog.=) $6`;
const values = ({ slot, subscription, table }: StateKey) => [slot, subscription, table];

/** The last run of each version. */
type Runs = readonly (readonly [version: string, run: number])[];

interface Row {
  readonly version: string;
  readonly run: string;
  readonly runs: string;
  readonly state: string;
  readonly system_identifier: string;
  readonly slot_lsn: string;
  readonly owner: string;
  readonly previous_owner: string;
  readonly key: string;
  readonly last_key: string | null;
  readonly cursor: string | null;
  readonly ahead: string;
  readonly reread: string;
  readonly reread_up_to: string;
  readonly rows: string;
}

/**
 * Reads the state of a table and makes it this worker's. Makes the table walwatch.existing if it is missing and may be made.
 * In one transaction: the handler of a worker that was thought dead may still store something.
 */
export async function takeState(
  client: Client,
  of: StateKey,
  expected: { readonly key: string; readonly afterGap: 'read' | 'ignore' },
  origin: Origin,
  create: boolean,
  restart: Restart | undefined,
): Promise<Loaded> {
  return withMigration(client, '003_existing', create, async () => {
    await client.query('begin');
    try {
      const loaded = await take(client, of, expected, origin, restart);
      await client.query('commit');
      return loaded;
    } catch (error) {
      await client.query('rollback').catch(() => {}); // a lost connection has ended it
      throw error;
    }
  });
}

async function take(
  client: Client,
  of: StateKey,
  { key, afterGap }: { readonly key: string; readonly afterGap: 'read' | 'ignore' },
  origin: Origin,
  restart: Restart | undefined,
): Promise<Loaded> {
  const { rows } = await client.query<Row>({
    types,
    text: `select version, run, runs::pg_catalog.text, state, system_identifier, slot_lsn, owner, previous_owner, key::pg_catalog.text, last_key::pg_catalog.text,
             cursor::pg_catalog.text, ahead::pg_catalog.text, reread::pg_catalog.text, reread_up_to, rows
           from walwatch.existing where ${ofState} for update`,
    values: values(of),
  });
  const found = rows[0];
  const { version } = of;
  const difference = found && differenceOf(found, { version, key }, origin, restart);
  const continues = difference === undefined || (afterGap === 'ignore' && ignorable.has(difference));
  const runs = new Map(found && [...fromJson<Runs>(found.runs)!, [found.version, Number(found.run)] as const]);
  // A version that is used again gets the next number, so its event ids are new.
  const state = found && continues ? stateOf(found) : { run: (runs.get(version) ?? 0) + 1, ...unread };
  await client.query(
    `insert into walwatch.existing (slot, subscription, table_name, version, run, runs, state, system_identifier, slot_lsn, owner, previous_owner, key,
       last_key, cursor, ahead, reread, reread_up_to, rows)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
     on conflict (slot, subscription, table_name) do update set version = excluded.version, run = excluded.run, runs = excluded.runs, state = excluded.state,
       system_identifier = excluded.system_identifier, slot_lsn = excluded.slot_lsn, owner = excluded.owner,
       previous_owner = excluded.previous_owner, key = excluded.key, last_key = excluded.last_key, cursor = excluded.cursor,
       ahead = excluded.ahead, reread = excluded.reread, reread_up_to = excluded.reread_up_to, rows = excluded.rows,
       updated_at = pg_catalog.now()`,
    [
      ...values(of),
      version,
      state.run,
      JSON.stringify([...runs]),
      state.done ? 'done' : 'reading',
      origin.systemIdentifier,
      origin.slotLsn,
      origin.worker,
      origin.before ?? found?.owner ?? '',
      key,
      ...stored(state),
    ],
  );
  return { state, difference, own: found?.owner === origin.worker };
}

/** With `afterGap: 'ignore'` the stored state is continued despite these. */
const ignorable: ReadonlySet<Difference> = new Set<Difference>(['gap', 'late', 'elsewhere', 'unattended']);

/**
 * Stores the progress of a table, if the state still belongs to this worker. Returns whether it was: in a handler's session also whether
 * that is still in the attempt's transaction.
 */
export async function saveState(
  client: Client,
  of: StateKey,
  worker: string,
  state: State,
  attempt?: string,
): Promise<boolean> {
  const { rowCount } = await client.query(
    `update walwatch.existing set state = $7, last_key = $8, cursor = $9, ahead = $10, reread = $11, reread_up_to = $12, rows = $13,
       updated_at = pg_catalog.now()
     where ${ofRun}
       and ($14::pg_catalog.text is null or pg_catalog.current_setting('walwatch.attempt', true) operator(pg_catalog.=) $14::pg_catalog.text)`,
    [...values(of), of.version, worker, state.run, state.done ? 'done' : 'reading', ...stored(state), attempt ?? null],
  );
  return rowCount === 1;
}

/** The progress of a run, locked until the end of the transaction. Undefined: it belongs to another worker, or the run is over. */
export async function lockState(
  client: Client,
  of: StateKey,
  worker: string,
  run: number,
): Promise<Pick<State, 'cursor' | 'ahead' | 'partly'> | undefined> {
  const { rows } = await client.query<Pick<Row, 'cursor' | 'ahead'>>({
    types,
    text: `select cursor::pg_catalog.text, ahead::pg_catalog.text from walwatch.existing
           where ${ofRun} for update`,
    values: [...values(of), of.version, worker, run],
  });
  const row = rows[0];
  return row && { cursor: fromJson(row.cursor), ...aheadOf(row.ahead) };
}

/** Finds unhandled rows, given the cursor and the handled keys beyond it. */
export function freshFrom(passed: readonly KeyTexts[], ahead: readonly KeyTexts[], partly: readonly Partly[]): IsFresh {
  const handled = new Set([...passed, ...ahead].map(idOf));
  const by = new Map(partly.map((one) => [idOf(one.key), one.by]));
  return (change, watcher) => {
    const id = idOf((change as ExistingChange).key);
    return !handled.has(id) && !by.get(id)?.includes(watcher!);
  };
}

function stored({ end, cursor, ahead, partly, reread, moved, rows }: State): readonly (string | number | null)[] {
  const json = (value: unknown) => (value === undefined ? null : JSON.stringify(value));
  const [lsn, ordinal] = moved;
  return [json(end), json(cursor), json([...ahead, ...partly]), json(reread), `${formatLsn(lsn)}/${ordinal}`, rows];
}

/** Keys are lists; rows that not all watchers have handled are objects. */
function aheadOf(text: string): Pick<State, 'ahead' | 'partly'> {
  const all = JSON.parse(text) as (KeyTexts | Partly)[];
  const isKey = (one: KeyTexts | Partly): one is KeyTexts => Array.isArray(one);
  return { ahead: all.filter(isKey), partly: all.filter((one): one is Partly => !isKey(one)) };
}

function movedOf(text: string): Moved {
  const at = text.lastIndexOf('/');
  return at < 0 ? unread.moved : [parseLsn(text.slice(0, at)), Number(text.slice(at + 1))];
}

function fromJson<T>(text: string | null): T | undefined {
  return text === null ? undefined : (JSON.parse(text) as T);
}

function stateOf(row: Row): State {
  return {
    run: Number(row.run),
    done: row.state === 'done',
    end: fromJson(row.last_key),
    cursor: fromJson(row.cursor),
    ...aheadOf(row.ahead),
    reread: fromJson(row.reread) ?? [],
    moved: movedOf(row.reread_up_to),
    rows: Number(row.rows),
  };
}

function differenceOf(
  row: Row,
  { version, key }: { readonly version: string; readonly key: string },
  { systemIdentifier, slotLsn, before, worker }: Origin,
  restart: Restart | undefined,
): Difference | undefined {
  if (row.version !== version) return 'version';
  if (JSON.stringify(JSON.parse(row.key)) !== JSON.stringify(JSON.parse(key))) return 'key';
  if (restart !== undefined) return restart;
  if (row.owner === '') return 'unattended';
  if (row.system_identifier !== systemIdentifier || (slotLsn !== '' && row.slot_lsn !== '' && row.slot_lsn !== slotLsn))
    return 'elsewhere';
  const known = [row.owner, row.previous_owner, worker];
  return before !== undefined && !known.includes(before) ? 'unattended' : undefined;
}
