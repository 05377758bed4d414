/** What many problems may differ in although they are one: the names in its text. */
interface Named {
  readonly text: string;
  readonly names: readonly (string | undefined)[];
}

/** So many of a kind are told one by one. */
const few = 5;

/** How a list of problems is told: one, and the names of those that are the same but for their names. */
export interface Alike<T> {
  readonly first: T;
  readonly others: readonly T[];
}

/** Brings together what reads the same but for names, if it is more than a few. Keeps the order of the first ones. */
export function groupAlike<T>(all: readonly T[], named: (one: T) => Named): Alike<T>[] {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const outline = outlineOf(named(one));
    const group = groups.get(outline);
    if (group) group.push(one);
    else groups.set(outline, [one]);
  }
  return [...groups.values()].flatMap((group): Alike<T>[] =>
    group.length > few
      ? [{ first: group[0]!, others: group.slice(1) }]
      : group.map((one) => ({ first: one, others: [] })),
  );
}

/** `the same for 497 others: a, b, c, …` */
export function othersText(names: readonly string[]): string {
  const more = names.length > few ? ', …' : '';
  return `the same for ${names.length} others: ${names.slice(0, few).join(', ')}${more}`;
}

/** The text without the names: the first before a colon, and each in quotes; a table's without its schema, too. */
function outlineOf({ text, names }: Named): string {
  let outline = text;
  for (const name of names) {
    if (!name) continue;
    if (outline.startsWith(`${name}: `)) outline = outline.slice(name.length);
    outline = outline.replaceAll(`'${name}'`, "''").replaceAll(`"${name.replaceAll('"', '""')}"`, '""');
  }
  return outline.replaceAll(/"[^"]*"\.""/g, '""');
}
