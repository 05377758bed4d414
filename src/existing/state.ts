import type { Client, CustomTypesConfig } from 'pg';
import { withMigration } from '../postgres/migration.ts';
import type { KeyChange } from './key-changes.ts';
import type { KeyTexts } from './key-order.ts';

/** Whose state it is. */
export interface StateKey {
  readonly slot: string;
  readonly subscription: string;
  /** `schema.table` */
  readonly table: string;
}

/** Where and by whom the table is read: what was stored elsewhere says nothing here. */
export interface Origin {
  readonly systemIdentifier: string;
  /** Where the slot was made; empty: not known. */
  readonly slotLsn: string;
  readonly worker: string;
  /** The worker that had the slot before. Undefined: not known. */
  readonly before: string | undefined;
}

/** How far a table is read. */
export interface State {
  readonly run: number;
  readonly done: boolean;
  /** Where reading ends. Undefined: not known yet. */
  readonly end: KeyTexts | undefined;
  /** All rows up to this key are handled. Undefined: none. */
  readonly cursor: KeyTexts | undefined;
  /** Those beyond it that are handled as well. */
  readonly ahead: readonly KeyTexts[];
  readonly reread: readonly KeyChange[];
  readonly rows: number;
}

export const unread: Omit<State, 'run'> = {
  done: false,
  end: undefined,
  cursor: undefined,
  ahead: [],
  reread: [],
  rows: 0,
};

/** Why the stored state is not continued. */
export type Difference = 'version' | 'restart' | 'key' | 'gap' | 'elsewhere' | 'unattended';

export interface Loaded {
  readonly state: State;
  /** Undefined: it is continued, or there was none. */
  readonly difference: Difference | undefined;
}

/** The session may be a handler's, with parsers of the application's. */
const types = { getTypeParser: () => (text: string) => text } as CustomTypesConfig;
const ofState =
  'slot operator(pg_catalog.=) $1 and subscription operator(pg_catalog.=) $2 and table_name operator(pg_catalog.=) $3';
const values = ({ slot, subscription, table }: StateKey) => [slot, subscription, table];

interface Row {
  readonly version: string;
  readonly run: string;
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
  readonly rows: string;
}

/** Reads the state of a table and makes it this worker's. Makes the table walwatch.existing if it is missing and may be made. */
export async function takeState(
  client: Client,
  of: StateKey,
  { version, key, afterGap }: { readonly version: string; readonly key: string; readonly afterGap: 'read' | 'ignore' },
  origin: Origin,
  create: boolean,
  gap: boolean,
): Promise<Loaded> {
  return withMigration(client, '003_existing', create, async () => {
    const { rows } = await client.query<Row>({
      types,
      text: `select version, run, state, system_identifier, slot_lsn, owner, previous_owner, key::pg_catalog.text, last_key::pg_catalog.text,
               cursor::pg_catalog.text, ahead::pg_catalog.text, reread::pg_catalog.text, rows
             from walwatch.existing where ${ofState}`,
      values: values(of),
    });
    const found = rows[0];
    const difference = found && differenceOf(found, { version, key }, origin, gap);
    const isRead =
      difference === undefined || (afterGap === 'ignore' && !['version', 'restart', 'key'].includes(difference));
    const state = !found
      ? { run: 1, ...unread }
      : isRead
        ? stateOf(found)
        : { run: difference === 'version' ? 1 : Number(found.run) + 1, ...unread };
    await client.query(
      `insert into walwatch.existing (slot, subscription, table_name, version, run, state, system_identifier, slot_lsn, owner, previous_owner, key,
         last_key, cursor, ahead, reread, rows)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
       on conflict (slot, subscription, table_name) do update set version = excluded.version, run = excluded.run, state = excluded.state,
         system_identifier = excluded.system_identifier, slot_lsn = excluded.slot_lsn, owner = excluded.owner,
         previous_owner = excluded.previous_owner, key = excluded.key, last_key = excluded.last_key, cursor = excluded.cursor,
         ahead = excluded.ahead, reread = excluded.reread, rows = excluded.rows, updated_at = pg_catalog.now()`,
      [
        ...values(of),
        version,
        state.run,
        state.done ? 'done' : 'reading',
        origin.systemIdentifier,
        origin.slotLsn,
        origin.worker,
        found?.owner === origin.worker ? found.previous_owner : (found?.owner ?? ''),
        key,
        ...stored(state),
      ],
    );
    return { state, difference: isRead && difference === undefined ? undefined : difference };
  });
}

/**
 * Stores how far the table is read, if it is still this worker's. Returns whether it was: in a handler's session also whether
 * that is still in the attempt's transaction. `restart`: it was stored, and the table is marked to be read again.
 */
export async function saveState(
  client: Client,
  of: StateKey,
  worker: string,
  state: State,
  attempt?: string,
): Promise<boolean | 'restart'> {
  const { rows } = await client.query<{ state: string }>({
    types,
    text: `update walwatch.existing set state = case when state operator(pg_catalog.=) 'restart' then state else $5 end,
             last_key = $6, cursor = $7, ahead = $8, reread = $9, rows = $10, updated_at = pg_catalog.now()
           where ${ofState} and owner operator(pg_catalog.=) $4
             and ($11::pg_catalog.text is null or pg_catalog.current_setting('walwatch.attempt', true) operator(pg_catalog.=) $11::pg_catalog.text)
           returning state`,
    values: [...values(of), worker, state.done ? 'done' : 'reading', ...stored(state), attempt ?? null],
  });
  return rows[0]?.state === 'restart' ? 'restart' : rows.length === 1;
}

/** How far the table is read, if it is still this worker's. Locked until the end of the transaction. */
export async function lockState(
  client: Client,
  of: StateKey,
  worker: string,
): Promise<Pick<State, 'cursor' | 'ahead'> | undefined> {
  const { rows } = await client.query<Pick<Row, 'cursor' | 'ahead'>>({
    types,
    text: `select cursor::pg_catalog.text, ahead::pg_catalog.text from walwatch.existing
           where ${ofState} and owner operator(pg_catalog.=) $4 for update`,
    values: [...values(of), worker],
  });
  const row = rows[0];
  return row && { cursor: fromJson(row.cursor), ahead: fromJson(row.ahead) ?? [] };
}

function stored({ end, cursor, ahead, reread, rows }: State): readonly (string | number | null)[] {
  const json = (value: unknown) => (value === undefined ? null : JSON.stringify(value));
  return [json(end), json(cursor), json(ahead), json(reread), rows];
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
    ahead: fromJson(row.ahead) ?? [],
    reread: fromJson(row.reread) ?? [],
    rows: Number(row.rows),
  };
}

function differenceOf(
  row: Row,
  { version, key }: { readonly version: string; readonly key: string },
  { systemIdentifier, slotLsn, before, worker }: Origin,
  gap: boolean,
): Difference | undefined {
  if (row.version !== version) return 'version';
  if (row.state === 'restart') return 'restart';
  if (JSON.stringify(JSON.parse(row.key)) !== JSON.stringify(JSON.parse(key))) return 'key';
  if (gap) return 'gap';
  if (row.system_identifier !== systemIdentifier || (slotLsn !== '' && row.slot_lsn !== '' && row.slot_lsn !== slotLsn))
    return 'elsewhere';
  const known = [row.owner, row.previous_owner, worker];
  return before !== undefined && !known.includes(before) ? 'unattended' : undefined;
}
