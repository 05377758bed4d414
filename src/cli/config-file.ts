import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { thrownText } from '../errors.ts';
import type { WatchOptions } from '../options.ts';
import type { SlotWatch } from '../types/watch.ts';
import { UsageError } from './arguments.ts';
import { keepSecret } from './output.ts';

const defaultFiles = ['js', 'mjs', 'cjs', 'ts', 'mts', 'cts'].map((ending) => `walwatch.config.${ending}`);

interface ConfigurationModule {
  readonly default?: unknown;
  readonly subscribe?: unknown;
}

/** What a configuration file has to say. */
export interface ConfigurationFile {
  readonly own: Partial<WatchOptions>;
  /** Registers the application's handlers. */
  readonly subscribe: ((watch: SlotWatch) => unknown) | undefined;
}

export function findFile(named: string | undefined): string | undefined {
  if (named === undefined) return defaultFiles.find((name) => existsSync(name));
  if (!existsSync(named)) throw new UsageError(`there is no file ${named}`);
  return named;
}

/** @throws UsageError when it cannot be loaded, or exports something else */
export async function readFile(file: string): Promise<ConfigurationFile> {
  return exported(await load(file), file);
}

async function load(file: string): Promise<ConfigurationModule> {
  try {
    return (await import(pathToFileURL(resolve(file)).href)) as ConfigurationModule;
  } catch (error) {
    const { code } = (error ?? {}) as { code?: unknown };
    if (code === 'ERR_UNKNOWN_FILE_EXTENSION' && /\.[cm]?ts$/.test(file)) {
      throw new UsageError(
        `${file}: Node ${process.versions.node} does not load TypeScript by itself`,
        "Use Node 22.18, 23.6 or newer; or a loader: NODE_OPTIONS='--import tsx'; or write it as walwatch.config.mjs.",
      );
    }
    const message = error instanceof Error ? error.message : thrownText(error);
    throw new UsageError(`${file} can not be loaded: ${message}`, loadingHint(file, code, message));
  }
}

/** What to do about the mistakes that everybody makes once. */
function loadingHint(file: string, code: unknown, message: string): string | undefined {
  if (/import statement outside a module|Unexpected token 'export'/.test(message)) {
    const module = file.replace(/\.c?([jt]s)$/, '.m$1');
    return `Node takes it for CommonJS. Name it ${module}, or write "type": "module" into package.json.`;
  }
  if (/^(require|module|exports) is not defined/.test(message)) {
    return `Node takes it for an ES module. Name it ${file.replace(/\.m?([jt]s)$/, '.c$1')}, or write import and export.`;
  }
  if (code === 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX') {
    return "Node only removes types. Use a loader for the rest: NODE_OPTIONS='--import tsx'.";
  }
  if (code === 'ERR_MODULE_NOT_FOUND' && message.includes("package 'walwatch'")) return 'npm install walwatch';
  if (code === 'ERR_MODULE_NOT_FOUND') {
    return "Node wants the whole name of a file: ./watchers.ts, or ./watchers.js; a loader does not: NODE_OPTIONS='--import tsx'.";
  }
  return undefined;
}

/** What a file exports, as an ES module, as CommonJS, or as CommonJS that a compiler has made of an ES module. */
function exported(module: ConfigurationModule, file: string): ConfigurationFile {
  const compiled = module.default as { readonly __esModule?: unknown; readonly default?: unknown } | undefined;
  const given = compiled?.__esModule === true ? compiled.default : module.default;
  if (typeof given !== 'object' || given === null) {
    throw new UsageError(
      `${file} has no default export that is a configuration`,
      'export default defineConfig({ slot, watchers }); or in CommonJS: module.exports = defineConfig({ slot, watchers });',
    );
  }
  // module.exports.subscribe = … puts it beside the options.
  const { subscribe = module.subscribe, ...own } = given as { readonly subscribe?: unknown };
  if (subscribe !== undefined && typeof subscribe !== 'function') {
    throw new UsageError(`'subscribe' of ${file} is no function`, 'export function subscribe(watch) { … }');
  }
  keepSecret((own as Partial<WatchOptions>).connection);
  return { own, subscribe: subscribe as ConfigurationFile['subscribe'] };
}
