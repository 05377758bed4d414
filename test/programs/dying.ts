/**
 * A worker that does not live long. `node dying.js <url> <slot> fails|exits [transaction]`; watches `jobs`, and `other`,
 * whose handler never finishes and so holds the slot.
 * fails: its handler always fails, and the event goes to the dead letters. exits: its handler ends the process.
 */
import { createWatch, defineWatchers } from 'walwatch';
import { print } from './print.ts';

const [connection = '', slot = '', mode = '', transaction] = process.argv.slice(2);
const watchers = defineWatchers<{ jobs: { id: number }; other: { id: number } }>()([
  ['jobs', 'inserted'],
  ['other', 'inserted'],
]);
const watch = createWatch({ connection, slot, watchers });
watch.subscribe(
  'jobs:inserted',
  ({ id }, { attempt }) => {
    print({ id, attempt });
    if (mode === 'exits' && id === 2) process.exit(1);
    if (mode === 'fails') throw new Error('no');
  },
  {
    name: 'worker',
    transaction: transaction === 'transaction',
    onError: { attempts: mode === 'exits' ? 3 : 1, then: 'deadLetter' },
  },
);
if (mode === 'fails') watch.subscribe('other:inserted', () => new Promise(() => {}));
await watch.start();
print({ started: true });
