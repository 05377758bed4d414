const revivers: Record<string, (text: string) => unknown> = {
  bigint: BigInt,
  number: Number,
  // PostgreSQL's infinite timestamps, which pg gives as numbers.
  date: (text) => (/^(-?Infinity|NaN)$/.test(text) ? Number(text) : new Date(text)),
  bytes: (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0)),
};

/** Turns the values that JSON has no form for back into what they were. `types` names their columns. */
export function revive(event: Record<string, unknown>, types: Record<string, string> = {}): Record<string, unknown> {
  for (const [column, type] of Object.entries(types)) event[column] = each(event[column], revivers[type]!);
  return event;
}

function each(value: unknown, reviver: (text: string) => unknown): unknown {
  if (value === null) return null;
  return Array.isArray(value) ? value.map((one: unknown) => each(one, reviver)) : reviver(value as string);
}
