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
