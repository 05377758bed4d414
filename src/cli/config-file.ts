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

/** The contents of a configuration file. */
export interface ConfigurationFile {
  readonly own: Partial<WatchOptions>;
  /** Registers the application's handlers. */
  readonly subscribe: ((watch: SlotWatch) => unknown) | undefined;
}

export function findFile(named: string | undefined): string | undefined {
  if (named === undefined) return defaultFiles.find((name) => existsSync(name));
  if (!existsSync(named)) throw new UsageError(`the configuration file ${named} does not exist`);
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
        `${file}: Node ${process.versions.node} cannot load TypeScript without a loader`,
        "Use Node 22.18, 23.6 or newer, or a loader (NODE_OPTIONS='--import tsx'), or a walwatch.config.mjs.",
      );
    }
    const message = error instanceof Error ? error.message : thrownText(error);
    throw new UsageError(`${file} cannot be loaded: ${message}`, loadingHint(file, code, message));
  }
}

/** Solutions for common mistakes. */
function loadingHint(file: string, code: unknown, message: string): string | undefined {
  if (/import statement outside a module|Unexpected token 'export'/.test(message)) {
    const module = file.replace(/\.c?([jt]s)$/, '.m$1');
    return `Node treats the file as CommonJS. Rename it to ${module}, or add "type": "module" to package.json.`;
  }
  if (/^(require|module|exports) is not defined/.test(message)) {
    return `Node treats the file as an ES module. Rename it to ${file.replace(/\.m?([jt]s)$/, '.c$1')}, or use import and export.`;
  }
  if (code === 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX') {
    return "Node only removes types and does not support other TypeScript syntax. Use a loader: NODE_OPTIONS='--import tsx'.";
  }
  if (code === 'ERR_MODULE_NOT_FOUND' && message.includes("package 'walwatch'")) return 'npm install walwatch';
  if (code === 'ERR_MODULE_NOT_FOUND') {
    return "Node needs the file extension in an import: ./watchers.ts or ./watchers.js. Or use a loader: NODE_OPTIONS='--import tsx'.";
  }
  return undefined;
}

/** Reads the exports of an ES module, of CommonJS, or of an ES module that was compiled to CommonJS. */
function exported(module: ConfigurationModule, file: string): ConfigurationFile {
  const compiled = module.default as { readonly __esModule?: unknown; readonly default?: unknown } | undefined;
  const given = compiled?.__esModule === true ? compiled.default : module.default;
  if (typeof given !== 'object' || given === null) {
    throw new UsageError(
      `the default export of ${file} is not a configuration`,
      'Write export default defineConfig({ slot, watchers }), or in CommonJS: module.exports = defineConfig({ slot, watchers })',
    );
  }
  // In CommonJS, module.exports.subscribe = … makes it a property of the options.
  const { subscribe = module.subscribe, ...own } = given as { readonly subscribe?: unknown };
  if (subscribe !== undefined && typeof subscribe !== 'function') {
    throw new UsageError(`'subscribe' of ${file} is not a function`, 'Write export function subscribe(watch) { … }');
  }
  keepSecret((own as Partial<WatchOptions>).connection);
  return { own, subscribe: subscribe as ConfigurationFile['subscribe'] };
}
