import { type ConfigurationIssue, shown } from '../errors.ts';
import { meant, unknownKeys } from '../option-names.ts';
import type { DefineOptions } from '../types/watchers.ts';
import { namingOptions } from './naming.ts';
import type { Watcher } from './validate.ts';

/** Problems with the second argument of `defineWatchers`. */
export function optionIssues(options: unknown): ConfigurationIssue[] {
  if (options === undefined) return [];
  const solution = "defineWatchers([…], { when: { 'users:updated': (event, previous) => … } })";
  if (typeof options !== 'object' || options === null)
    return [{ message: `the options of defineWatchers must be an object, not ${shown(options)}`, solution }];
  const issues: ConfigurationIssue[] = [];
  unknownKeys(options, ['when', 'naming'] satisfies (keyof DefineOptions)[], 'option of defineWatchers', issues);
  return [...issues, ...namingIssues((options as DefineOptions).naming)];
}

/** Problems with `naming`. */
function namingIssues(naming: unknown): ConfigurationIssue[] {
  if (naming === undefined || naming === 'camelCase') return [];
  if (typeof naming !== 'object' || naming === null)
    return [
      {
        message: `naming must be 'camelCase' or the options of CamelCasePlugin, not ${shown(naming)}`,
        solution: "naming: 'camelCase', or naming: { underscoreBeforeDigits: true }",
      },
    ];
  const issues: ConfigurationIssue[] = [];
  unknownKeys(naming, namingOptions, 'option of naming', issues);
  return issues;
}

/** Problems with conditions. */
export function conditionIssues(when: unknown, watchers: readonly Watcher[]): ConfigurationIssue[] {
  if (when === undefined) return [];
  if (typeof when !== 'object' || when === null) {
    return [
      { message: `when must be an object of conditions by watcher name, not ${shown(when)}`, solution: undefined },
    ];
  }
  const known = watchers.map(({ name }) => name);
  return Object.entries(when).flatMap(([name, condition]) => {
    const issue = (message: string, solution: string): ConfigurationIssue => ({ message, solution, watcher: name });
    if (!known.includes(name)) return [issue(`\`when\` names an unknown watcher '${name}'`, meant(name, known))];
    if (typeof condition !== 'function')
      return [issue(`the condition of '${name}' must be a function`, '(event, previous) => boolean')];
    return [];
  });
}
