import { type ConfigurationIssue, shown, throwIssues } from '../errors.ts';
import type { Route } from './route.ts';
import type { Router } from './router.ts';
import { RowStream } from './row-stream.ts';

/** The route of one watcher, or the row stream of a list. @throws ConfigurationError */
export function sourceOf(router: Router, watcher: string | readonly string[]): Route | RowStream {
  if (!Array.isArray(watcher)) return routeOf(router, watcher as string);
  const names: readonly string[] = watcher;
  const twice = names.filter((name, index) => names.indexOf(name) !== index);
  const issues: ConfigurationIssue[] = [];
  if (names.length === 0)
    issues.push({ message: 'the list of watchers is empty', solution: "subscribe(['users:inserted', …], handler)" });
  for (const name of new Set(twice))
    issues.push({
      message: `the list contains the watcher '${name}' twice`,
      solution: 'List each watcher once.',
      watcher: name,
    });
  for (const name of names) if (!router.routes.has(name)) issues.push(unknown(router, name));
  throwIssues(issues);
  return new RowStream(
    router,
    names.map((name) => router.routes.get(name)!),
    names.join(', '),
  );
}

/** @throws ConfigurationError when no watcher has this name */
export function routeOf(router: Router, name: string): Route {
  const route = router.routes.get(name);
  if (route) return route;
  throwIssues([unknown(router, name)]);
  throw new TypeError('unreachable');
}

function unknown(router: Router, name: unknown): ConfigurationIssue {
  const known = [...router.routes.keys()].join(', ') || 'none';
  const given = typeof name === 'string' ? name : shown(name);
  return { message: `there is no watcher '${given}'`, solution: `Known watchers: ${known}.`, watcher: given };
}
