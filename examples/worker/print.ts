import type { EventContext } from 'walwatch';

/** A handler that prints one line: time, watcher, event, old values, event id. */
export function print(event: object, context: EventContext, note = ''): void {
  const { watcher, eventId, committedAt } = context;
  const name = `${watcher.replace('walwatch_example.', '')} ${note}`;
  const columns = [
    committedAt.toTimeString().slice(0, 8),
    name.padEnd(22),
    `${describe(event)}${changed(event, context.previous)}`.padEnd(76),
    eventId,
  ];
  console.log(columns.join('  '));
  if (++printed % remindEvery === 0) console.log(reminder);
}

/** Often enough to stay on a screen of 24 lines, where an event may take two. */
const remindEvery = 10;
let printed = 0;
let reminder = '';

/** Prints a line now, and repeats it when events have scrolled it off the screen. */
export function remindOf(line: string): void {
  reminder = line;
  console.log(line);
}

function changed(event: object, previous: object): string {
  const now = new Map(Object.entries(event));
  const before = Object.entries(previous).filter(([column, value]) => now.get(column) !== value);
  return before.length === 0 ? '' : `  was ${describe(Object.fromEntries(before))}`;
}

const describe = (row: object): string =>
  Object.entries(row)
    .map(([column, value]) => `${column} ${JSON.stringify(value)}`)
    .join(', ');
