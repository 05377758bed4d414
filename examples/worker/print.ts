import type { EventContext } from 'walwatch';

/** A handler that prints its event in one line: time, watcher, event, what it was before, event id. */
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

/** So that it is always on the screen: 24 lines at least, and an event may take two of them. */
const remindEvery = 10;
let printed = 0;
let reminder = '';

/** Prints a line now, and again among the events that push it out of sight. */
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
