import type { LiveSource } from 'walwatch/client';
import { type Status, status } from './server.ts';

const place = document.querySelector<HTMLElement>('#status')!;

/** Milliseconds since 1970. */
let lastEventAt: number | undefined;

/** Shows state and lag of the worker once a second. While the page is not connected, it shows that it retries. */
export function showStatus(live: Pick<LiveSource, 'on'>): void {
  let connected = false;
  const lost = () => {
    place.dataset['state'] = 'lost';
    fill('state', 'offline, retrying');
    fill('lag', '–');
    showAge();
  };
  live.on('connected', () => {
    connected = true;
    void look();
  });
  const disconnected = () => {
    connected = false;
    lost();
  };
  live.on('disconnected', disconnected);
  live.on('failed', disconnected); // also if it was never connected
  const look = () => status().then(show, lost);
  setInterval(() => {
    if (document.hidden) return;
    if (connected) void look();
    else showAge();
  }, 1000);
}

function show({ state, lagBytes, lastEventAt: last, mayRunSql }: Status): void {
  lastEventAt = last === undefined ? undefined : Date.parse(last);
  place.dataset['state'] = state;
  fill('state', state === 'disconnected' ? 'no database, retrying' : state);
  fill('lag', lagBytes === undefined ? '–' : bytes(lagBytes));
  showAge();
  document.querySelector<HTMLElement>('#sql')!.hidden = !mayRunSql;
}

/** Updates the age of the last event, also while the worker cannot be reached. */
function showAge(): void {
  fill('last', lastEventAt === undefined ? '–' : ago(Date.now() - lastEventAt));
}

function fill(what: string, text: string): void {
  place.querySelector(`[data-of="${what}"]`)!.textContent = text;
}

const bytes = (count: number) =>
  count < 1024
    ? `${count} B`
    : count < 1024 ** 2
      ? `${(count / 1024).toFixed(1)} kB`
      : `${(count / 1024 ** 2).toFixed(1)} MB`;

const ago = (ms: number) => (ms < 1000 ? 'just now' : `${Math.round(ms / 1000)} s ago`);
