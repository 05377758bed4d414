import type { ConfigurationIssue } from '../errors.ts';
import type { Watcher } from './validate.ts';

/** What is wrong with the second argument of `defineWatchers`. */
export function optionIssues(options: unknown): ConfigurationIssue[] {
  if (options === undefined) return [];
  const solution = "defineWatchers([…], { when: { 'users:updated': (event, previous) => … } })";
  if (typeof options !== 'object' || options === null)
    return [{ message: 'the options of defineWatchers are an object', solution }];
  const unknown = Object.keys(options).filter((key) => key !== 'when');
  return unknown.map((key) => ({ message: `there is no option '${key}' of defineWatchers`, solution: 'Known: when.' }));
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
      return [issue(`'when' has a condition for '${name}', which no watcher is called`, `Known: ${known.join(', ')}.`)];
    if (typeof condition !== 'function')
      return [issue(`the condition of '${name}' is not a function`, '(event, previous) => boolean')];
    return [];
  });
}
