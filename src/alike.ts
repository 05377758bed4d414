/** A problem's text, and the names in it that may differ between problems of the same kind. */
interface Named {
  readonly text: string;
  readonly names: readonly (string | undefined)[];
}

/** Up to this many problems of a kind are shown one by one. */
const few = 5;

/** A problem, and the others that differ from it only in names. */
export interface Alike<T> {
  readonly first: T;
  readonly others: readonly T[];
}

/** Groups problems whose texts differ only in names, if there are more than a few of them. Keeps the order of the first ones. */
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

/** The text without the names: without the one before the first colon, and with empty quotes for each quoted one. Tables also lose their schema. */
function outlineOf({ text, names }: Named): string {
  let outline = text;
  for (const name of names) {
    if (!name) continue;
    if (outline.startsWith(`${name}: `)) outline = outline.slice(name.length);
    outline = outline.replaceAll(`'${name}'`, "''").replaceAll(`"${name.replaceAll('"', '""')}"`, '""');
  }
  return outline.replaceAll(/"[^"]*"\.""/g, '""');
}
