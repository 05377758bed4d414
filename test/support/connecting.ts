/** Watches of a table `entries`, and a record of their connections. */
import { defineWatchers, type SlotWatch, type WatchError } from '../../src/index.ts';

export const watchers = defineWatchers<{ entries: { id: number; note: string } }>()([
  ['entries', 'inserted', { extraColumns: ['note'] }],
]);

/** Records the events of a watch. */
export function record(watch: SlotWatch<typeof watchers>) {
  const seen: number[] = [];
  const connects: number[] = [];
  const disconnects: { readonly error: WatchError | undefined; readonly state: string; readonly shown: unknown }[] = [];
  watch.subscribe('entries:inserted', ({ id }) => void seen.push(id));
  watch.on('connected', ({ reconnects }) => connects.push(reconnects));
  watch.on('disconnected', ({ error }) => {
    const { state, error: shown } = watch.status();
    disconnects.push({ error, state, shown });
  });
  return { seen, connects, disconnects, codes: () => disconnects.map(({ error }) => error?.code) };
}
