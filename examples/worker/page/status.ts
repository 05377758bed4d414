import type { LiveSource } from 'walwatch/client';
import { type Status, status } from './server.ts';

const place = document.querySelector<HTMLElement>('#status')!;

/** State and lag of the worker, once a second while the page is connected. */
export function showStatus(live: Pick<LiveSource, 'on'>): void {
  let connected = false;
  const lost = () => {
    place.dataset['state'] = 'lost';
    fill('state', 'reconnecting');
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
  live.on('failed', disconnected); // also when it has never been connected
  const look = () => status().then(show, lost);
  setInterval(() => {
    if (connected && !document.hidden) void look();
  }, 1000);
}

function show({ state, lagBytes, lastEventAt, mayRunSql }: Status): void {
  place.dataset['state'] = state;
  fill('state', state);
  fill('lag', lagBytes === undefined ? '–' : bytes(lagBytes));
  fill('last', lastEventAt === undefined ? '–' : ago(Date.now() - Date.parse(lastEventAt)));
  document.querySelector<HTMLElement>('#sql')!.hidden = !mayRunSql;
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
