// Type-checks the ```ts blocks of README.md and docs/**/*.md against the built package, as a reader would copy them.
// An HTML comment right before a block declares the names that the prose assumes:
//   <!-- snippet: declare const user: { id: number }; -->
// A block that begins with ```ts no-check is skipped.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { apiFolder } from './pages.mjs';

const folder = '.build/snippets';
const block =
  /(?:<!-- snippet:(?<declared>[^]*?)-->\s*)?^(?<fence>```(?:ts|typescript)\b(?<info>.*)\n)(?<code>[^]*?)^```$/gm;

/** @param {string} file */
function snippetsOf(file) {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(block)].flatMap((match) => {
    const { declared = '', fence = '', info = '', code = '' } = match.groups ?? {};
    if (info.includes('no-check')) return [];
    // The code keeps its line, so that errors of tsc can be looked up in the page.
    const line = text.slice(0, match.index + match[0].indexOf(fence)).split('\n').length;
    const lead = `${declared.replaceAll('\n', ' ')} export {};`;
    return {
      name: `${file.replace(/\.md$/, '').replaceAll(/[^\w-]/g, '_')}-${line}.ts`,
      text: lead + '\n'.repeat(line) + code,
    };
  });
}

const pages = [
  'README.md',
  ...(existsSync('docs') ? readdirSync('docs', { recursive: true }).map((name) => join('docs', String(name))) : []),
];
const snippets = pages
  .filter((page) => page.endsWith('.md') && !page.startsWith(apiFolder) && existsSync(page))
  .flatMap(snippetsOf);

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
for (const snippet of snippets) writeFileSync(join(folder, snippet.name), snippet.text);
writeFileSync(
  join(folder, 'tsconfig.json'),
  // No paths: 'walwatch' is the package itself then, through its exports.
  JSON.stringify({ extends: '../../tsconfig.json', compilerOptions: { paths: {} }, include: ['*.ts'], exclude: [] }),
);

console.log(`${snippets.length} snippets`);
if (snippets.length > 0) {
  const { status } = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', folder], {
    stdio: 'inherit',
  });
  process.exitCode = status ?? 1;
}
