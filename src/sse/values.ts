/** Types of values that JSON cannot express. `number`: NaN and the infinities, which pg also returns for timestamps. */
type ValueType = 'date' | 'bigint' | 'bytes' | 'number';

export interface PlainRow {
  /** Values that JSON can express. */
  readonly values: Readonly<Record<string, unknown>>;
  /** The columns whose values, or array elements, the client converts back. */
  readonly types: Readonly<Record<string, ValueType>>;
}

/** Converts a row for JSON: dates to ISO 8601, bigints, NaN and infinities to text, bytes to base64. The rest stays as it is. */
export function plainRow(row: object): PlainRow {
  const types: [string, ValueType][] = [];
  const values = Object.entries(row).map(([column, value]) => {
    let type: ValueType | undefined;
    // An array of dates may contain infinities. The type stays `date`: the client's reviver handles both.
    const plain = plainValue(value, (found) => (type = type === 'date' ? type : found));
    if (type !== undefined) types.push([column, type]);
    return [column, plain] as const;
  });
  return { values: Object.fromEntries(values), types: Object.fromEntries(types) };
}

/** Converts one value. `note` is called with the type that the client converts it back to. */
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

/** JSON.stringify refuses bigints, and a user's parser may put one into an object. */
export const toJson = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? String(one) : one));
