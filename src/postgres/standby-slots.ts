import type { Client } from 'pg';
import { WatchError } from '../errors.ts';
import { type Server, since } from './server.ts';

/** A slot named in `synchronized_standby_slots`: a failover slot gets no change before the standby of this slot has it. */
export interface StandbySlot {
  readonly name: string;
  /** Undefined: the slot does not exist. */
  readonly type: 'physical' | 'logical' | undefined;
  readonly active: boolean;
  readonly invalidationReason: string | undefined;
  readonly inactiveSince: Date | undefined;
}

/** The slots that a slot waits for. Empty on a standby, for a slot without failover, and before PostgreSQL 17. */
export async function readStandbySlots(
  client: Client,
  slot: string,
  server: Pick<Server, 'major'>,
): Promise<StandbySlot[]> {
  if (server.major < since.failover) return [];
  const { rows } = await client.query(
    `select w.name, s.slot_type as type, coalesce(s.active, false) as active, s.invalidation_reason as reason,
            (extract(epoch from s.inactive_since) * 1000)::float8 as "inactiveSince"
     from (select pg_catalog.lower(pg_catalog.btrim(item, ' "')) as name
           from pg_catalog.unnest(pg_catalog.string_to_array(pg_catalog.current_setting('synchronized_standby_slots'), ',')) item) w
     left join pg_catalog.pg_replication_slots s on s.slot_name = w.name
     where w.name <> '' and not pg_catalog.pg_is_in_recovery()
       and exists (select from pg_catalog.pg_replication_slots own where own.slot_name = $1 and own.failover)`,
    [slot],
  );
  return rows.map(({ name, type, active, reason, inactiveSince }) => ({
    name,
    type: type ?? undefined,
    active,
    invalidationReason: reason ?? undefined,
    inactiveSince: inactiveSince === null ? undefined : new Date(inactiveSince),
  }));
}

/** Warns about standbys that hold changes back until an operator acts. The text contains no times, so that the same warning is given once. */
export function standbysBehind(slot: string, standbys: readonly StandbySlot[]): WatchError[] {
  return standbys.flatMap((standby) => {
    const reason = obstacle(standby);
    if (reason === undefined) return [];
    const others = standbys.filter((one) => one !== standby && obstacle(one) === undefined).map(({ name }) => name);
    return [
      new WatchError(
        'STANDBY_BEHIND',
        `the slot '${slot}' waits for the slot '${standby.name}' of synchronized_standby_slots, which ${reason}: no change is sent before that standby has it`,
        {
          solution: `Start the standby that uses it. If it is gone for good: ALTER SYSTEM SET synchronized_standby_slots = '${others.join(', ')}'; SELECT pg_catalog.pg_reload_conf();`,
        },
      ),
    ];
  });
}

function obstacle({ type, active, invalidationReason }: StandbySlot): string | undefined {
  if (type === undefined) return 'does not exist';
  if (type === 'logical') return 'is a logical slot';
  if (invalidationReason !== undefined) return `was invalidated (${invalidationReason})`;
  return active ? undefined : 'no standby is connected to';
}
