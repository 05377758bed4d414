import { type ResolvedOptions, resolveOptions, type WatchOptions } from '../options.ts';
import type { WatcherEntry, Watchers } from '../types/watchers.ts';
import { type ConfigurationError, issuesText, throwIssues } from '../errors.ts';
import { checkEntries, type Watcher } from '../watchers/validate.ts';
import { list, UsageError } from './arguments.ts';
import { type ConfigurationFile, findFile, readFile } from './config-file.ts';

/** The configuration of a command: flags and arguments override the configuration file. */
export interface Configuration {
  /** For `createWatch`. */
  readonly options: WatchOptions;
  readonly resolved: ResolvedOptions;
  readonly watchers: readonly Watcher[];
  /** Whether a durable slot is configured. */
  readonly hasSlot: boolean;
  /** The file's export that registers the application's handlers. */
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

/** `names`: the watchers on the command line; if empty, those of the file are used. @throws UsageError with every problem */
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
      // If the file's option is not a list of watchers, resolveOptions() reports it.
      watchers: names.length > 0 || own.watchers === undefined ? named(entries, own.watchers) : own.watchers,
    };
    const resolved = resolveOptions(options);
    const { watchers, issues } = checkEntries(options.watchers.entries, undefined, options.watchers.naming);
    throwIssues(issues);
    const hasSlot = slot !== undefined && !resolved.slot.temporary;
    return { options, resolved, watchers, hasSlot, subscribe, file };
  });
}

/** The file's slot with another name. Its other settings stay, unless it is temporary. */
function renamed(own: WatchOptions['slot'] | undefined, name: string): WatchOptions['slot'] {
  return typeof own !== 'object' || own === null || ('temporary' in own && own.temporary) ? name : { ...own, name };
}

/** @throws UsageError without a durable slot */
export function requireSlot({ hasSlot, file, options }: Configuration): void {
  if (hasSlot) return;
  const temporary = typeof options.slot === 'object' && file !== undefined && 'temporary' in options.slot;
  throw new UsageError(
    'no replication slot is configured',
    `Add --slot accounts_worker, or set \`slot\` in ${file ?? 'walwatch.config.mjs'}${temporary ? ' to a slot that is not temporary' : ''}.`,
  );
}

/** These entries with the file's settings for all watchers, and its conditions for these watchers. */
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
    throw new UsageError(
      `--${where === undefined ? 'columns' : 'where'} needs a watcher as an argument, such as users:updated`,
    );
  }
  const known = names.length === 0 ? [] : checkEntries(configured, undefined, naming).watchers;
  return names.map((name) => {
    const index = known.findIndex((watcher) => watcher.name === name);
    const [table, type, options] = configured[index] ?? parseWatcher(name, file);
    return [table, type, { ...options, ...(extraColumns && { extraColumns }), ...(where !== undefined && { where }) }];
  });
}

/** Parses `erp.orders:deleted`. The type is checked later. */
function parseWatcher(name: string, file: string | undefined): WatcherEntry {
  const colon = name.lastIndexOf(':');
  if (colon > 0) return [name.slice(0, colon), name.slice(colon + 1) as WatcherEntry[1]];
  throw new UsageError(
    `unknown watcher '${name}'${file === undefined ? '' : ` in ${file}`}`,
    'Use table:type, such as users:updated, or the name of a watcher in the configuration.',
  );
}

function asUsage<T>(file: string | undefined, work: () => T): T {
  try {
    return work();
  } catch (error) {
    // Not `instanceof`: a configuration file may import another copy of walwatch.
    if ((error as { code?: unknown } | undefined)?.code !== 'CONFIGURATION') throw error;
    const { issues } = error as ConfigurationError;
    throw new UsageError(`${file === undefined ? '' : `${file}: `}${issuesText(issues)}`);
  }
}
