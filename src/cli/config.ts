import { type ResolvedOptions, resolveOptions, type WatchOptions } from '../options.ts';
import type { WatcherEntry, Watchers } from '../types/watchers.ts';
import { type ConfigurationError, issuesText, throwIssues } from '../errors.ts';
import { checkEntries, type Watcher } from '../watchers/validate.ts';
import { list, UsageError } from './arguments.ts';
import { type ConfigurationFile, findFile, readFile } from './config-file.ts';

/** What a command works with: the configuration file, with flags and arguments in place of what it says. */
export interface Configuration {
  /** For `createWatch`. */
  readonly options: WatchOptions;
  readonly resolved: ResolvedOptions;
  readonly watchers: readonly Watcher[];
  /** Whether a durable slot is named. */
  readonly hasSlot: boolean;
  /** Of the file: registers the application's handlers. */
  readonly subscribe: ConfigurationFile['subscribe'];
  readonly file: string | undefined;
}

export interface ConfigurationValues {
  readonly config?: string | undefined;
  readonly slot?: string | undefined;
  readonly publication?: string | undefined;
  readonly columns?: string | undefined;
  readonly where?: string | undefined;
}

/** `names`: watchers that the command line asks for; empty: those of the file. @throws UsageError with every problem */
export async function loadConfiguration(
  flags: ConfigurationValues,
  names: readonly string[] = [],
): Promise<Configuration> {
  const file = findFile(flags.config);
  const { own, subscribe }: ConfigurationFile =
    file === undefined ? { own: {}, subscribe: undefined } : await readFile(file);
  const slot = flags.slot === undefined ? own.slot : renamed(own.slot, flags.slot);
  const publication = flags.publication ?? own.publication;
  return asUsage(file, () => {
    const entries = entriesOf(names, own.watchers, flags, file);
    const options: WatchOptions = {
      ...own,
      slot: slot ?? { temporary: true },
      ...(publication !== undefined && { publication }),
      // An option of the file that is no list of watchers is reported as such.
      watchers: names.length > 0 || own.watchers === undefined ? named(entries, own.watchers) : own.watchers,
    };
    const resolved = resolveOptions(options);
    const { watchers, issues } = checkEntries(options.watchers.entries, undefined, options.watchers.naming);
    throwIssues(issues);
    const hasSlot = slot !== undefined && !resolved.slot.temporary;
    return { options, resolved, watchers, hasSlot, subscribe, file };
  });
}

/** The slot of the file under another name: what else the file says of it holds, unless it is a temporary one. */
function renamed(own: WatchOptions['slot'] | undefined, name: string): WatchOptions['slot'] {
  return typeof own !== 'object' || own === null || ('temporary' in own && own.temporary) ? name : { ...own, name };
}

/** @throws UsageError when there is no durable slot */
export function requireSlot({ hasSlot, file, options }: Configuration): void {
  if (hasSlot) return;
  const temporary = typeof options.slot === 'object' && file !== undefined && 'temporary' in options.slot;
  throw new UsageError(
    'no replication slot is named',
    `--slot accounts_worker, or a ${file ?? 'walwatch.config.mjs'} with \`slot\`${temporary ? ' that is not temporary' : ''}.`,
  );
}

/** Those entries, with what the file says of all watchers, and its conditions as far as they are about them. */
function named(entries: readonly WatcherEntry[], { when, ...shared }: Partial<Watchers> = {}): Watchers {
  if (when === undefined) return { ...shared, entries };
  const names = new Set(checkEntries(entries, undefined, shared.naming).watchers.map(({ name }) => name));
  const own = Object.fromEntries(Object.entries(when).filter(([name]) => names.has(name)));
  return { ...shared, entries, when: own };
}

function entriesOf(
  names: readonly string[],
  { entries: configured = [], naming }: Partial<Watchers> = {},
  flags: ConfigurationValues,
  file: string | undefined,
): WatcherEntry[] {
  const extraColumns = list(flags.columns);
  const { where } = flags;
  if ((extraColumns !== undefined || where !== undefined) && names.length === 0) {
    throw new UsageError(`--${where === undefined ? 'columns' : 'where'} needs a watcher, as argument`);
  }
  const known = names.length === 0 ? [] : checkEntries(configured, undefined, naming).watchers;
  return names.map((name) => {
    const index = known.findIndex((watcher) => watcher.name === name);
    const [table, type, options] = configured[index] ?? parseWatcher(name, file);
    return [table, type, { ...options, ...(extraColumns && { extraColumns }), ...(where !== undefined && { where }) }];
  });
}

/** `erp.orders:deleted`. Whether there is such a type is checked with the rest. */
function parseWatcher(name: string, file: string | undefined): WatcherEntry {
  const colon = name.lastIndexOf(':');
  if (colon > 0) return [name.slice(0, colon), name.slice(colon + 1) as WatcherEntry[1]];
  throw new UsageError(
    `there is no watcher '${name}'${file === undefined ? '' : ` in ${file}`}`,
    'Write table:type, such as users:updated, or the name of a watcher of the configuration.',
  );
}

function asUsage<T>(file: string | undefined, work: () => T): T {
  try {
    return work();
  } catch (error) {
    // A configuration file may have a package of walwatch of its own.
    if ((error as { code?: unknown } | undefined)?.code !== 'CONFIGURATION') throw error;
    const { issues } = error as ConfigurationError;
    throw new UsageError(`${file === undefined ? '' : `${file}: `}${issuesText(issues)}`);
  }
}
