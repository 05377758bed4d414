const revivers: Record<string, (text: string) => unknown> = {
  bigint: BigInt,
  number: Number,
  // pg returns PostgreSQL's infinite timestamps as numbers.
  date: (text) => (/^(-?Infinity|NaN)$/.test(text) ? Number(text) : new Date(text)),
  bytes: (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0)),
};

/** Converts the values that JSON cannot express back to their types. `types` names their columns. */
export function revive(event: Record<string, unknown>, types: Record<string, string> = {}): Record<string, unknown> {
  for (const [column, type] of Object.entries(types)) event[column] = each(event[column], revivers[type]!);
  return event;
}

function each(value: unknown, reviver: (text: string) => unknown): unknown {
  if (value === null) return null;
  return Array.isArray(value) ? value.map((one: unknown) => each(one, reviver)) : reviver(value as string);
}
