import { type ConfigurationIssue, shown } from '../errors.ts';

/**
 * Every part of a value that JSON would lose, change or refuse. The handler's value has the type that `emit` was given, so JSON must not
 * turn a Date into a string silently. A property may be undefined, because it is undefined for the handler, too.
 *
 * `levels`: the most objects and arrays inside each other. JSON.stringify fails at some thousand.
 */
export function jsonIssues(value: unknown, name: string, levels = 500): ConfigurationIssue[] {
  const issues: ConfigurationIssue[] = [];
  /** From the root to the current value: the keys, and the objects that contain it. */
  const path: (string | number)[] = [];
  const containers: object[] = [];

  const placeAt = (depth: number) => name + path.slice(0, depth).map(step).join('');
  const report = (message: string, solution: string) => issues.push({ message, solution });
  const visit = (part: unknown) => {
    if (isScalar(part)) return;
    const place = () => placeAt(path.length);
    if (!isContainer(part)) report(`${place()} is ${nameOf(part)}`, solutionFor(part, place()));
    else if (containers.includes(part))
      report(`${place()} is circular: it is ${placeAt(containers.indexOf(part))} again`, 'Leave it out, or use an id.');
    else if (containers.length >= levels)
      report(`${name}: more than ${levels} objects and arrays inside each other`, 'Use a flatter structure.');
    else visitParts(part);
  };
  const visitParts = (container: object) => {
    containers.push(container);
    // By index: forEach skips holes, and JSON turns them into null.
    if (Array.isArray(container)) for (let at = 0; at < container.length; at++) visitAt(at, container[at]);
    else for (const [key, part] of Object.entries(container)) if (part !== undefined) visitAt(key, part);
    containers.pop();
  };
  const visitAt = (key: string | number, part: unknown) => {
    path.push(key);
    visit(part);
    path.pop();
  };

  visit(value);
  return issues;
}

/** `{}` and `Object.create(null)`, also of another realm, such as Jest's. */
export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function isScalar(value: unknown): boolean {
  return value === null || typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value);
}

function isContainer(value: unknown): value is object {
  return (Array.isArray(value) || isPlainObject(value)) && !hasToJson(value);
}

function hasToJson(value: object): boolean {
  return typeof (value as { toJSON?: unknown }).toJSON === 'function';
}

/** `.total`, `[2]`, `["unit price"]` */
function step(key: string | number): string {
  if (typeof key === 'number') return `[${key}]`;
  return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

/** `undefined`, `NaN`, `a bigint (12n)`, `a Date`, `an Order` */
function nameOf(value: unknown): string {
  if (value === undefined || typeof value === 'number') return String(value);
  if (typeof value === 'bigint') return `a bigint (${shown(value)})`;
  if (typeof value !== 'object') return `a ${typeof value}`;
  const name: unknown = (value as { constructor?: { name?: unknown } }).constructor?.name;
  if (typeof name !== 'string' || name === '' || name === 'Object') return 'an object with toJSON()';
  return `${/^[AEIO]/i.test(name) ? 'an' : 'a'} ${name}`;
}

function solutionFor(value: unknown, place: string): string {
  switch (typeof value) {
    case 'undefined':
      return 'JSON has no undefined. Use null, or leave it out.';
    case 'number':
      return 'JSON would turn it into null. Use null, or a string.';
    case 'bigint':
      return `JSON has no bigint. Convert it to a string: String(${place}).`;
    case 'function':
    case 'symbol':
      return 'JSON has no such value. Leave it out.';
  }
  const object = value as object;
  if (object instanceof Date) return `JSON would turn it into a string. Convert it yourself: ${place}.toISOString().`;
  if (hasToJson(object))
    return `JSON would turn it into what its toJSON() returns. Convert it yourself, for example with String(${place}).`;
  if (object instanceof Promise) return 'Await it first.';
  if (object instanceof Map || object instanceof Set) return `JSON would turn it into {}. Use an array: [...${place}].`;
  return `Only plain objects and arrays come back from JSON as they were. Use a plain object: { ...${place} }.`;
}
