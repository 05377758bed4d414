// A handler under a test watch, without a database. It checks itself.
import { defineWatchers } from 'walwatch';
import { createTestWatch } from 'walwatch/testing';

const watchers = defineWatchers([['parcels', 'updated', { extraColumns: ['weight'] }]]);

export async function tryTestWatch() {
  const watch = createTestWatch(watchers);
  /** @type {(readonly unknown[])[]} */
  const seen = [];
  watch.subscribe('parcels:updated', { weight: 2 }, (event, { previous, eventId }) => {
    if (event.id === 13) throw new Error('refused');
    seen.push([event.id, previous.weight, eventId]);
  });
  await watch.deliver('parcels:updated', { id: 7, weight: 2 }, { previous: { weight: 1 }, times: 2 });
  await watch.deliver('parcels:updated', { id: 8, weight: 3 });
  const refused = await watch.deliver('parcels:updated', { id: 13, weight: 2 }).catch((error) => error);
  await watch.stop();
  const [first, second] = seen;
  const right = seen.length === 2 && first?.[0] === 7 && first[1] === 1 && first[2] === second?.[2];
  if (!right || refused.message !== 'refused') throw new Error(JSON.stringify([seen, String(refused)]));
}
