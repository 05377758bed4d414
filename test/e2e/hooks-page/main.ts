import { createElement as h, StrictMode, useReducer, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { createClient } from 'walwatch/client';
import { createHooks } from 'walwatch/react';
import type { watchers } from '../../support/fake-watch.ts';

const client = createClient<typeof watchers>({ url: '/live' });
const { useWatch, useLive } = createHooks(client);

/** Shows the number of loads that the server counted. */
function Loads({ role }: { readonly role: number }) {
  const { data, error } = useLive('users:updated', { role_id: role }, async (signal) => {
    const response = await fetch(`/load?role=${role}`, { signal });
    if (!response.ok) throw new Error(`load: ${response.status}`);
    return response.text();
  });
  return h('p', { id: 'loads' }, `${data ?? 'nothing'}, ${error === undefined ? 'fine' : (error as Error).message}`);
}

function Events({ prefix }: { readonly prefix: string }) {
  const [events, add] = useReducer((all: readonly string[], one: string) => [...all, one], []);
  useWatch('users:updated', 1, (event) => add(`${prefix}${event.name}`));
  return h('p', { id: 'events' }, events.join());
}

/** Pages of a user's data. The user is not known at first. */
function Pages({
  id,
  page,
  enabled,
}: {
  readonly id: number | undefined;
  readonly page: number;
  readonly enabled: boolean;
}) {
  const load = async (signal: AbortSignal) => (await fetch(`/load?role=page${page}`, { signal })).text();
  const { data, reload } = useLive('users:updated', id, load, { deps: [page], enabled });
  useWatch('users:updated', { id, role_id: 7 }, () => {});
  return h('p', { id: 'pages', onClick: reload }, `page ${page}: ${data ?? 'nothing'}`);
}

function Page() {
  const [id, setId] = useState<number>();
  const [page, setPage] = useState(1);
  const [enabled, setEnabled] = useState(true);
  const [role, setRole] = useState(7);
  const [prefix, setPrefix] = useState('a-');
  const [shown, setShown] = useState(true);
  return h(
    'main',
    null,
    h('button', { id: 'role', onClick: () => setRole(8) }),
    h('button', { id: 'prefix', onClick: () => setPrefix('b-') }),
    h('button', { id: 'hide', onClick: () => setShown(false) }),
    h('button', { id: 'id', onClick: () => setId(42) }),
    h('button', { id: 'page', onClick: () => setPage(2) }),
    h('button', { id: 'enable', onClick: () => setEnabled((before) => !before) }),
    shown && h(Pages, { id, page, enabled }),
    shown && h(Loads, { role }),
    shown && h(Events, { prefix }),
  );
}

createRoot(document.querySelector('#root')!).render(h(StrictMode, null, h(Page)));
