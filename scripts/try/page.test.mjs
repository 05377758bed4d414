// For Jest and vitest, whose globals it uses, with jsdom: a page that gets rows from page-server.mjs.
import { act, createElement } from 'react';
import { createRoot } from 'react-dom/client';
import { createClient } from 'walwatch/client';
import { createHooks } from 'walwatch/react';

globalThis.IS_REACT_ACT_ENVIRONMENT = true;

test('a page gets a row, through the client and the hooks', async () => {
  const client = createClient({ url: process.env.LIVE_URL });
  const { useWatch } = createHooks(client);
  const event = await new Promise((resolve) => {
    function Page() {
      useWatch('visits:inserted', resolve);
      return null;
    }
    const root = createRoot(document.createElement('div'));
    act(() => root.render(createElement(Page)));
  });
  expect(event).toEqual({ id: expect.any(Number) });
  client.close();
}, 30_000);
