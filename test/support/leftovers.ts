/** Leftovers of a test, found and named. */
import type { ClientBase } from 'pg';

/** Slots of the client's database and sessions in it other than the client's own. */
export async function leftInDatabase(client: Pick<ClientBase, 'query'>): Promise<string[]> {
  const { rows } = await client.query<{ left: string }>(`
    select format('the replication slot "%s"%s', slot_name, ' of process ' || active_pid) as left
      from pg_replication_slots where database = current_database()
    union all
    select format('the %s %s "%s", %s, last query: %s', backend_type, pid, application_name, state, left(query, 200))
      from pg_stat_activity
      where datname = current_database() and backend_type in ('client backend', 'walsender') and pid <> pg_backend_pid()`);
  return rows.map((row) => row.left);
}

/** The resources that keep this process alive, for comparing: timers, sockets, child processes. */
export function resources(): readonly string[] {
  return process.getActiveResourcesInfo();
}

/** The kinds of resource that have become more than before. */
export function leftInProcess(before: readonly string[], now = resources()): string[] {
  const count = (list: readonly string[], kind: string) => list.filter((one) => one === kind).length;
  return [...new Set(now)]
    .map((kind) => ({ kind, more: count(now, kind) - count(before, kind) }))
    .filter(({ more }) => more > 0)
    .map(({ kind, more }) => `${more} × ${kind}`);
}
