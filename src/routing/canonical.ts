import { caseInsensitive } from '../postgres/types.ts';
import { scalarText } from './keys.ts';

/** Converts the text of a value to a form that is the same for all values PostgreSQL considers equal. Null: the value is JSON null. */
export type CanonicalForm = (text: string) => string | null;

/**
 * By type oid, as in pg_type.dat. For all other types equal values have equal texts. A value's text and the JavaScript
 * scalar that an event shows for it have the same form.
 */
const forms: ReadonlyMap<number, CanonicalForm> = new Map([
  [16, booleanForm], // bool
  [114, jsonForm], // json
  [650, lowerCase], // cidr
  [700, float4Form], // float4
  [701, float8Form], // float8
  [774, lowerCase], // macaddr8
  [829, lowerCase], // macaddr
  [869, lowerCase], // inet
  [1042, withoutPadding], // bpchar
  [1082, timeForm], // date
  [1114, timeForm], // timestamp
  [1184, timeForm], // timestamptz
  [1700, numericForm], // numeric
  [2950, lowerCase], // uuid
  [3802, jsonForm], // jsonb
  [caseInsensitive, lowerCase], // citext
] satisfies (readonly [number, CanonicalForm])[]);

/** Returns the same function for the same type. Undefined: equal values have equal texts. */
export function canonicalForm(typeOid: number): CanonicalForm | undefined {
  return forms.get(typeOid);
}

function lowerCase(text: string): string {
  return text.toLowerCase();
}

function withoutPadding(text: string): string {
  let end = text.length;
  while (text[end - 1] === ' ') end--;
  return text.slice(0, end);
}

function booleanForm(text: string): string {
  return /^(t|true|1)$/i.test(text) ? 't' : /^(f|false|0)$/i.test(text) ? 'f' : text;
}

/** PostgreSQL writes 1e+15 and 1e-05 where JavaScript writes 1000000000000000 and 0.00001. */
function float8Form(text: string): string {
  const number = Number(text);
  return Number.isNaN(number) || text.trim() === '' ? text : String(number);
}

/** Rounds to the stored number: 0.1 is 0.10000000149011612. */
function float4Form(text: string): string {
  const number = Number(text);
  return Number.isNaN(number) || text.trim() === '' ? text : String(Math.fround(number));
}

/** Digits before or after the decimal point: more than a numeric can have. */
const maxDigits = 200_000;

/** Removes exponents, leading and trailing zeros, and a decimal point without digits after it. */
function numericForm(text: string): string {
  const parts = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,6}))?$/.exec(text);
  if (!parts) return text;
  const [, sign, whole = '', fraction = '', exponent = '0'] = parts;
  const shift = Number(exponent);
  if (whole + fraction === '' || Math.abs(shift) > maxDigits) return text;
  const digits = whole + fraction;
  const point = whole.length + shift;
  const before = point <= 0 ? '' : digits.slice(0, point).padEnd(point, '0');
  const behind = point <= 0 ? digits.padStart(digits.length - point, '0') : digits.slice(point);
  let from = 0;
  while (before[from] === '0') from++;
  let end = behind.length;
  while (behind[end - 1] === '0') end--;
  const form = `${before.slice(from) || '0'}${end > 0 ? `.${behind.slice(0, end)}` : ''}`;
  return sign === '-' && form !== '0' ? `-${form}` : form;
}

const timePattern =
  /^(\d{4,})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?\s*(Z|[+-]\d\d(?::?\d\d)?(?::\d\d)?)?)?( BC)?$/i;

/** ISO 8601 as PostgreSQL and JavaScript write it: equal moments get one form. */
function timeForm(text: string): string {
  if (/^-?infinity$/i.test(text)) return text.toLowerCase(); // JavaScript shows it as a number
  const parts = timePattern.exec(text);
  if (!parts) return text;
  const [, year, month, day, hour, minute, second = '00', fraction = '', zone, bc = ''] = parts;
  const date = `${year}-${month}-${day}`;
  if (hour === undefined) return `${date}${bc.toUpperCase()}`;
  const behind = fraction.replace(/0+$/, '');
  const offset = zone === undefined ? 0 : offsetOf(zone);
  const shown = (shownDate: string, time: string) =>
    `${shownDate} ${time}${behind && `.${behind}`}${zone === undefined ? '' : '+00'}${bc.toUpperCase()}`;
  if (offset === 0) return shown(date, `${hour}:${minute}:${second}`);
  if (year!.length > 4 || bc !== '') return text; // Date writes these years differently, so the offset cannot be applied
  const moment = new Date(Date.parse(`${date}T${hour}:${minute}:${second}Z`) - offset * 1000);
  if (Number.isNaN(moment.getTime())) return text;
  const iso = moment.toISOString();
  return shown(iso.slice(0, -14), iso.slice(-13, -5));
}

/** Seconds east of Greenwich. */
function offsetOf(zone: string): number {
  if (zone.toUpperCase() === 'Z') return 0;
  const [hours = 0, minutes = 0, seconds = 0] = (zone.slice(1).match(/\d\d/g) ?? []).map(Number);
  return (zone.startsWith('-') ? -1 : 1) * (hours * 3600 + minutes * 60 + seconds);
}

/** Scalars in the form that an event shows: the string a, not "a". Objects and arrays keep their text. */
function jsonForm(text: string): string | null {
  if (/^\s*[[{]/.test(text)) return text;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return text; // a string without quotes
  }
  if (typeof value === 'string') return value === text ? text : jsonForm(value);
  return scalarText(value as number | boolean | null);
}
