import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type ResolvedOptions, resolveOptions, type WatchOptions } from '../options.ts';
import type { SlotWatch } from '../types/watch.ts';
import type { WatcherEntry, Watchers } from '../types/watchers.ts';
import { type ConfigurationError, issuesText, throwIssues, thrownText } from '../errors.ts';
import { checkEntries, type Watcher } from '../watchers/validate.ts';
import { list, UsageError } from './arguments.ts';
import { keepSecret } from './output.ts';

const defaultFiles = ['walwatch.config.js', 'walwatch.config.mjs', 'walwatch.config.ts'];

/** What a command works with: the configuration file, with flags and arguments in place of what it says. */
export interface Configuration {
  /** For `createWatch`. */
  readonly options: WatchOptions;
  readonly resolved: ResolvedOptions;
  readonly watchers: readonly Watcher[];
  /** Whether a durable slot is named. */
  readonly hasSlot: boolean;
  /** Of the file: registers the application's handlers. */
  readonly subscribe: ((watch: SlotWatch) => unknown) | undefined;
  readonly file: string | undefined;
}

export interface ConfigurationValues {
  readonly config?: string | undefined;
  readonly slot?: string | undefined;
  readonly publication?: string | undefined;
  readonly columns?: string | undefined;
  readonly where?: string | undefined;
}

interface ConfigurationModule {
  readonly default?: unknown;
  readonly subscribe?: unknown;
}

/** `names`: watchers that the command line asks for; empty: those of the file. @throws UsageError with every problem */
export async function loadConfiguration(
  flags: ConfigurationValues,
  names: readonly string[] = [],
): Promise<Configuration> {
  const file = findFile(flags.config);
  const module: ConfigurationModule = file === undefined ? { default: {} } : await load(file);
  const given = module.default;
  if (typeof given !== 'object' || given === null) {
    throw new UsageError(
      `${file} has no default export that is a configuration`,
      'export default defineConfig({ slot, watchers });',
    );
  }
  const { subscribe } = module;
  if (subscribe !== undefined && typeof subscribe !== 'function') {
    throw new UsageError(`'subscribe' of ${file} is no function`, 'export function subscribe(watch) { … }');
  }
  const own = given as Partial<WatchOptions>;
  keepSecret(own.connection);
  const slot = flags.slot ?? own.slot;
  const publication = flags.publication ?? own.publication;
  return asUsage(file, () => {
    const { naming } = own.watchers ?? {};
    const entries = entriesOf(names, own.watchers ?? { entries: [] }, flags, file);
    const options: WatchOptions = {
      ...own,
      slot: slot ?? { temporary: true },
      ...(publication !== undefined && { publication }),
      // An option of the file that is no list of watchers is reported as such.
      watchers: names.length > 0 || own.watchers === undefined ? { entries, ...(naming && { naming }) } : own.watchers,
    };
    const resolved = resolveOptions(options);
    const { watchers, issues } = checkEntries(options.watchers.entries, undefined, naming);
    throwIssues(issues);
    const hasSlot = slot !== undefined && !resolved.slot.temporary;
    return { options, resolved, watchers, hasSlot, subscribe: subscribe as Configuration['subscribe'], file };
  });
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

function findFile(named: string | undefined): string | undefined {
  if (named === undefined) return defaultFiles.find((name) => existsSync(name));
  if (!existsSync(named)) throw new UsageError(`there is no file ${named}`);
  return named;
}

async function load(file: string): Promise<ConfigurationModule> {
  try {
    return (await import(pathToFileURL(resolve(file)).href)) as ConfigurationModule;
  } catch (error) {
    if ((error as { code?: unknown } | undefined)?.code === 'ERR_UNKNOWN_FILE_EXTENSION') {
      throw new UsageError(
        `${file}: Node ${process.versions.node} does not load TypeScript by itself`,
        "Use Node 22.18, 23.6 or newer; or a loader: NODE_OPTIONS='--import tsx'; or write it as walwatch.config.mjs.",
      );
    }
    throw new UsageError(`${file} can not be loaded: ${error instanceof Error ? error.message : thrownText(error)}`);
  }
}

function entriesOf(
  names: readonly string[],
  { entries: configured, naming }: Watchers,
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
