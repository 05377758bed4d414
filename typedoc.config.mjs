// The API reference of every entry point of the package, as Markdown pages of the docs site (`npm run docs`).
import { readFileSync } from 'node:fs';

const { exports } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));
/** @type {(types: string) => string} */
const source = (types) => types.replace('./dist/', 'src/').replace(/\.d\.ts$/, '.ts');

/** @type {Partial<import('typedoc').TypeDocOptions & import('typedoc-plugin-markdown').PluginOptions>} */
export default {
  name: 'walwatch',
  entryPoints: Object.values(exports).map(({ types }) => source(types)),
  tsconfig: 'tsconfig.build.json',
  out: 'docs/reference/api',
  readme: 'none',
  hidePageHeader: true,
  useCodeBlocks: true,
  parametersFormat: 'table',
  // Links to sources would be those of git's remote, which a clone may not have.
  disableSources: true,
  plugin: ['typedoc-plugin-markdown', './scripts/name-modules.mjs', './scripts/require-examples.mjs'],
  validation: { notExported: false, invalidLink: true, notDocumented: true },
  requiredToBeDocumented: ['Class', 'Enum', 'Function', 'Interface', 'TypeAlias', 'Variable'],
  treatWarningsAsErrors: true,
  treatValidationWarningsAsErrors: true,
};
