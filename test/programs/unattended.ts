/**
 * A worker that nobody attends: without a logger or listeners. It says how it was started, awaited or not; what it prints besides
 * comes from Node and walwatch. `node unattended.js <url> <slot> <what>`
 */
import { createWatch, defineWatchers } from 'walwatch';

const [connection = '', slot = '', what = ''] = process.argv.slice(2);
const table = what.startsWith('wrong') ? 'nowhere' : 'users';
const watch = createWatch({
  ...(connection === '' ? {} : { connection }),
  slot,
  watchers: defineWatchers([[table, 'inserted']]),
  ...(what.includes('silent') && { logger: false }),
});
const listeners = process.listenerCount('exit');
const say = (line: string) => console.log(line);
process.once('SIGTERM', () => void watch.stop());

watch.subscribe(`${table}:inserted`, () => {
  say('handler');
  if (what === 'failing handler') throw new Error('broken');
});

if (what === 'never' || what === 'never silent') {
  const others = Array.from({ length: 999 }, () =>
    createWatch({ connection, slot, watchers: defineWatchers([['users', 'inserted']]) }),
  );
  say(`${others.length + 1} watches, ${process.listenerCount('exit') - listeners} more listeners`);
} else if (what === 'never, stopped') {
  await watch.stop();
} else if (what === 'never, letters') {
  await watch.deadLetters.discard({ subscription: 'nobody' }).catch(() => {});
  await watch.stop();
} else if (what === 'stop first') {
  await watch.stop();
  void watch.start();
} else if (what.endsWith('awaited')) {
  const started = watch.start();
  say('starting');
  await started;
  say('started');
  await watch.closed;
} else if (what.endsWith('closed')) {
  void watch.start();
  say('starting');
  await watch.closed;
} else {
  void watch.start();
  say('starting');
}
say('end');
