/** What of a value JSON cannot say. `number`: NaN and the infinities, which pg also gives for timestamps. */
type ValueType = 'date' | 'bigint' | 'bytes' | 'number';

export interface PlainRow {
  /** Ready for JSON. */
  readonly values: Readonly<Record<string, unknown>>;
  /** The columns whose values, or whose array's values, the client turns back. */
  readonly types: Readonly<Record<string, ValueType>>;
}

/** Dates as ISO 8601, bigints and what is no number in JSON as text, bytes as base64; the rest as JSON has it. */
export function plainRow(row: object): PlainRow {
  const types: [string, ValueType][] = [];
  const values = Object.entries(row).map(([column, value]) => {
    let type: ValueType | undefined;
    // An array of dates may hold infinities: a date for the client, which knows both.
    const plain = plainValue(value, (found) => (type = type === 'date' ? type : found));
    if (type !== undefined) types.push([column, type]);
    return [column, plain] as const;
  });
  return { values: Object.fromEntries(values), types: Object.fromEntries(types) };
}

/** Of one value; `note` is told the type that the client turns it back to. */
export function plainValue(value: unknown, note: (type: ValueType) => void = () => {}): unknown {
  switch (typeof value) {
    case 'bigint':
      note('bigint');
      return String(value);
    case 'number':
      if (Number.isFinite(value)) return value;
      note('number');
      return String(value);
    case 'object':
      if (Array.isArray(value)) return value.map((one) => plainValue(one, note));
      if (value instanceof Date) {
        note('date');
        return Number.isNaN(value.getTime()) ? String(value) : value.toISOString();
      }
      if (value instanceof Uint8Array) {
        note('bytes');
        return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
      }
      return value;
    default:
      return value;
  }
}

/** A parser of the user's may put a bigint into an object, which JSON.stringify would refuse. */
export const toJson = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? String(one) : one));
