// `npm run docs`: the API reference of every entry point of the package, into .build/api.
import { readFileSync } from 'node:fs';

const { exports } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));
/** @type {(types: string) => string} */
const source = (types) => types.replace('./dist/', 'src/').replace(/\.d\.ts$/, '.ts');

/** @type {Partial<import('typedoc').TypeDocOptions>} */
export default {
  name: 'walwatch',
  entryPoints: Object.values(exports).map(({ types }) => source(types)),
  tsconfig: 'tsconfig.build.json',
  out: '.build/api',
  readme: 'none',
  plugin: ['./scripts/require-examples.mjs'],
  validation: { notExported: false, invalidLink: true, notDocumented: true },
  requiredToBeDocumented: ['Class', 'Enum', 'Function', 'Interface', 'TypeAlias', 'Variable'],
  treatWarningsAsErrors: true,
  treatValidationWarningsAsErrors: true,
};
