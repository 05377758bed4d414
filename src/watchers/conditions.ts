import { type ConfigurationIssue, shown } from '../errors.ts';
import { meant, unknownKeys } from '../option-names.ts';
import type { DefineOptions } from '../types/watchers.ts';
import { namingOptions } from './naming.ts';
import type { Watcher } from './validate.ts';

/** What is wrong with the second argument of `defineWatchers`. */
export function optionIssues(options: unknown): ConfigurationIssue[] {
  if (options === undefined) return [];
  const solution = "defineWatchers([…], { when: { 'users:updated': (event, previous) => … } })";
  if (typeof options !== 'object' || options === null)
    return [{ message: 'the options of defineWatchers are an object', solution }];
  const issues: ConfigurationIssue[] = [];
  unknownKeys(options, ['when', 'naming'] satisfies (keyof DefineOptions)[], 'option of defineWatchers', issues);
  return [...issues, ...namingIssues((options as DefineOptions).naming)];
}

/** What is wrong with `naming`. */
function namingIssues(naming: unknown): ConfigurationIssue[] {
  if (naming === undefined || naming === 'camelCase') return [];
  if (typeof naming !== 'object' || naming === null)
    return [
      { message: `naming is ${shown(naming)}`, solution: "naming: 'camelCase', or the options of CamelCasePlugin." },
    ];
  const issues: ConfigurationIssue[] = [];
  unknownKeys(naming, namingOptions, 'option of naming', issues);
  return issues;
}

/** What is wrong with conditions. */
export function conditionIssues(when: unknown, watchers: readonly Watcher[]): ConfigurationIssue[] {
  if (when === undefined) return [];
  if (typeof when !== 'object' || when === null) {
    return [{ message: "'when' is an object of conditions by identifier", solution: undefined }];
  }
  const known = watchers.map(({ name }) => name);
  return Object.entries(when).flatMap(([name, condition]) => {
    const issue = (message: string, solution: string): ConfigurationIssue => ({ message, solution, watcher: name });
    if (!known.includes(name))
      return [issue(`'when' has a condition for '${name}', which no watcher is called`, meant(name, known))];
    if (typeof condition !== 'function')
      return [issue(`the condition of '${name}' is not a function`, '(event, previous) => boolean')];
    return [];
  });
}
