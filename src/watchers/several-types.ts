import { type ConfigurationIssue, shown } from '../errors.ts';

/** Splits `['orders', ['inserted', 'updated'], options]` into one entry per type. Returns anything that is not a list of entries as it is. */
export function singleEntries(entries: unknown): { single: unknown; issues: ConfigurationIssue[] } {
  const issues: ConfigurationIssue[] = [];
  if (!Array.isArray(entries)) return { single: entries, issues };
  const single = entries.flatMap((entry: unknown, index) => {
    if (!Array.isArray(entry) || !Array.isArray(entry[1])) return [entry];
    const [table, types, ...rest] = entry as unknown as readonly [unknown, readonly unknown[], ...unknown[]];
    const report = (message: string, solution: string) =>
      issues.push({ message: `watcher ${index}: ${message}`, solution });
    if (types.length === 0) report('the list of types is empty', "['inserted', 'updated']");
    const twice = types.filter((type, place) => types.indexOf(type) !== place);
    if (twice.length > 0) report(`the list contains ${twice.map(shown).join(', ')} twice`, 'Name each type once.');
    for (const option of ['label', 'triggerColumns'].filter((name) => Object.hasOwn(Object(rest[0]) as object, name)))
      report(
        `${option} belongs to one watcher, but a list of types makes several`,
        'Write a separate entry with one type for that watcher.',
      );
    return [...new Set(types)].map((type) => [table, type, ...rest]);
  });
  return { single, issues };
}
