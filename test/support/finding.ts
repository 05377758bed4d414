/** Looks up rows by their ids, as handlers do. Look-ups that start while the server answers share the next query. */
import type { Client } from 'pg';

interface Search {
  readonly id: number;
  readonly answer: (found: boolean) => void;
}

/** Whether `table` has a row with this id, in a snapshot that is taken after the call. Each session runs one query at a time. */
export function finder(sessions: readonly Client[], table: string): (id: number) => Promise<boolean> {
  const idle = [...sessions];
  let waiting: Search[] = [];
  let scheduled = false;

  const ask = async (session: Client): Promise<void> => {
    while (waiting.length > 0) {
      const asked = waiting;
      waiting = [];
      const ids = asked.map(({ id }) => id);
      const { rows } = await session.query<{ id: number }>(`select id from ${table} where id = any ($1)`, [ids]);
      const found = new Set(rows.map(({ id }) => id));
      for (const { id, answer } of asked) answer(found.has(id));
      // Handlers that waited for these answers get the chance to look up their next rows.
      await Promise.resolve();
    }
    idle.push(session);
  };
  const begin = () => {
    scheduled = false;
    const session = idle.pop();
    if (session) void ask(session);
  };
  return (id) =>
    new Promise((answer) => {
      waiting.push({ id, answer });
      if (scheduled || idle.length === 0) return;
      scheduled = true;
      queueMicrotask(begin); // events that are delivered together are looked up together
    });
}
