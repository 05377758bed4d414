import type { CamelCaseNaming, Naming } from '../types/watchers.ts';

/** Translates names between code and database. */
export interface Names {
  toDatabase(name: string): string;
  toCode(name: string): string;
  /** Translates a JSON value: the keys in it. */
  value(json: unknown): unknown;
}

/** Undefined: names are the same in code and database, or `naming` is invalid. */
export function namesOf(naming: Naming | null | undefined): Names | undefined {
  const options: unknown = naming === 'camelCase' ? {} : naming;
  return typeof options === 'object' && options !== null ? byPlugin(options) : undefined;
}

function byPlugin(options: CamelCaseNaming): Names {
  const toCode = (name: string) => camelCase(name, options);
  return {
    toDatabase: (name) => snakeCase(name, options),
    toCode,
    value: (json) => (options.maintainNestedObjectKeys ? json : withKeys(json, toCode)),
  };
}

export const namingOptions = [
  'upperCase', 'underscoreBeforeDigits', 'underscoreBetweenUppercaseLetters', 'maintainNestedObjectKeys',
] as const satisfies readonly (keyof CamelCaseNaming)[]; // prettier-ignore

/**
 * The rules of Kysely's CamelCasePlugin, with its options, so that a name means the same column to both.
 * https://github.com/kysely-org/kysely/blob/master/src/plugin/camel-case/camel-case.ts
 */
function snakeCase(name: string, options: CamelCaseNaming): string {
  const { upperCase = false, underscoreBeforeDigits = false, underscoreBetweenUppercaseLetters = false } = options;
  let out = name.slice(0, 1).toLowerCase();
  for (let at = 1; at < name.length; at++) {
    const char = name[at]!;
    const previous = name[at - 1]!;
    if (underscoreBeforeDigits && isDigit(char) && !isDigit(previous) && !out.endsWith('_')) out += `_${char}`;
    else if (!isUpperCase(char)) out += char;
    else if (underscoreBetweenUppercaseLetters || !isUpperCase(previous)) out += `_${char.toLowerCase()}`;
    else out += char.toLowerCase();
  }
  return upperCase ? out.toUpperCase() : out;
}

function camelCase(name: string, { upperCase = false }: CamelCaseNaming): string {
  const given = upperCase && name.slice(1) === name.slice(1).toUpperCase() ? name.toLowerCase() : name;
  let out = given.slice(0, 1);
  for (let at = 1; at < given.length; at++) {
    const char = given[at]!;
    if (char !== '_') out += given[at - 1] === '_' ? char.toUpperCase() : char;
  }
  return out;
}

const isDigit = (char: string) => char >= '0' && char <= '9';
const isUpperCase = (char: string) => char === char.toUpperCase() && char !== char.toLowerCase();

/** Translates the keys of objects in JSON like the plugin does in rows. It leaves out lists in lists. */
function withKeys(value: unknown, toCode: (key: string) => string): unknown {
  if (Array.isArray(value)) return value.map((one: unknown) => (Array.isArray(one) ? one : withKeys(one, toCode)));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [toCode(key), withKeys(one, toCode)]));
}
