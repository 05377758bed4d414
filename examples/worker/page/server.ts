/** Requests of the page to its server, other than events. */
export interface User {
  readonly id: number;
  readonly name: string;
  readonly email: string | null;
  readonly phone: string | null;
  readonly role_id: number | null;
  readonly role: string | null;
}

export interface Status {
  readonly state: string;
  readonly lagBytes?: number;
  readonly lastEventAt?: string;
  readonly mayRunSql: boolean;
}

export const users = (role: number | undefined): Promise<readonly User[]> =>
  get(role === undefined ? '/users' : `/users?role=${role}`);

export const user = (id: number): Promise<User | null> => get(`/user?id=${id}`);

export const status = (): Promise<Status> => get('/status');

export async function runSql(sql: string): Promise<{ readonly done?: string; readonly error?: string }> {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch('/sql', { method: 'POST', headers, body: JSON.stringify({ sql }) });
  return (await response.json()) as { done?: string; error?: string };
}

async function get<T>(path: string): Promise<T> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return (await response.json()) as T;
}

/** If called while `load` runs, runs it once more afterwards. Loads never overlap, so the last result shown is the newest. */
export function coalesced(load: () => Promise<void>): () => void {
  let running = false;
  let again = false;
  const run = async () => {
    running = true;
    try {
      while (again) {
        again = false;
        await load();
      }
    } catch {
      // The server is down. When the client reconnects, everything is loaded again.
    } finally {
      running = false;
    }
  };
  return () => {
    again = true;
    if (!running) void run();
  };
}
