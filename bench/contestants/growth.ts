/**
 * The cost when there are many:
 * `node growth.js subscribe <signal|id|all> <subscriptions>`: makes this many subscriptions, on one AbortSignal, by one id, or to
 * all rows, and ends them. Prints the microseconds for each: of subscribing, then of ending.
 * `node growth.js shapes <url> <shapes> <events>`: filters with this many combinations of columns. Prints microseconds an event.
 * `node growth.js watchers <url> <watchers> <subscriptions> <events>`: this many watchers of one table, each with this many
 * subscriptions. Prints microseconds a change.
 */
import { createWatch, defineWatchers } from 'walwatch';
import { backlogOfUpdates } from './updates.ts';

const [mode = '', ...given] = process.argv.slice(2);

function subscribe(how: string, count: number): void {
  const watchers = defineWatchers([['accounts', 'updated', { label: 'changed' }]]);
  const watch = createWatch({ connection: 'postgres://localhost/none', slot: 'walwatch_bench', watchers });
  const controller = new AbortController();
  const report = (begin: number) => console.log(((performance.now() - begin) * 1000) / count);
  let begin = performance.now();
  const subscriptions = Array.from({ length: count }, () => {
    const handler = () => {};
    if (how === 'signal') return watch.subscribe('changed', 1, handler, { signal: controller.signal });
    return how === 'id' ? watch.subscribe('changed', 1, handler) : watch.subscribe('changed', handler);
  });
  report(begin);
  begin = performance.now();
  if (how === 'signal') controller.abort();
  else for (const subscription of subscriptions) subscription.unsubscribe();
  report(begin);
}

const columns = Array.from({ length: 8 }, (_, n) => `c${n}`);

/** Each filter is looked up for every event, and matches nothing. */
async function shapes(url: string, count: number, events: number): Promise<void> {
  const watchers = defineWatchers([['wide', 'updated', { label: 'changed', extraColumns: columns }]]);
  await using backlog = await backlogOfUpdates(url, watchers, 'wide', 'c9 = c9', events);
  for (let shape = 1; shape <= count; shape++) {
    const chosen = columns.filter((_, bit) => shape & (1 << bit));
    backlog.watch.subscribe('changed', Object.fromEntries(chosen.map((column) => [column, 'none'])), () => {});
  }
  backlog.watch.subscribe('changed', backlog.heard);
  console.log((await backlog.drain(events)) / events);
}

async function manyWatchers(url: string, count: number, subscriptions: number, events: number): Promise<void> {
  const labels = Array.from({ length: count }, (_, n) => `changed_${n}`);
  const watchers = defineWatchers(labels.map((label) => ['accounts', 'updated', { label }] as const));
  await using backlog = await backlogOfUpdates(url, watchers, 'accounts', 'role_id = role_id + 1', events);
  for (const label of labels)
    for (let n = 0; n < subscriptions; n++) backlog.watch.subscribe(label, () => backlog.heard());
  console.log((await backlog.drain(events * count * subscriptions)) / events);
}

if (mode === 'subscribe') subscribe(given[0]!, Number(given[1]));
else if (mode === 'shapes') await shapes(given[0]!, Number(given[1]), Number(given[2]));
else await manyWatchers(given[0]!, Number(given[1]), Number(given[2]), Number(given[3]));
