// What coding agents read (https://llmstxt.org): docs/llms.txt, an index of the docs that the package contains.
//   node scripts/llms.mjs               writes docs/llms.txt
//   node scripts/llms.mjs .build/docs   writes it into the site, with llms-full.txt and the pages as Markdown
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readSections } from './pages.mjs';

const { description } = JSON.parse(readFileSync('package.json', 'utf8'));
const folder = process.argv[2] ?? 'docs';
const outside = folder === 'docs' ? '../' : '';
// The changelog and the pages for contributors are left out.
const sections = readSections().filter(({ title }) => title !== 'Project');

/** The first sentence of a page. @type {(file: string) => string} */
function summaryOf(file) {
  const blocks = readFileSync(file, 'utf8').split(/\n{2,}/);
  const paragraph = blocks.find((block) => /^[\p{L}\p{N}`*[]/u.test(block)) ?? '';
  const text = paragraph.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll(/\s+/g, ' ');
  return /^.*?[.?!](?=\s|$)/.exec(text)?.[0] ?? text;
}

const lines = ['# walwatch', '', `> ${description}.`];
for (const { title, pages } of sections) {
  lines.push('', `## ${title}`, '');
  for (const page of pages) {
    if (page.file === 'docs/README.md') continue;
    const link = page.file.startsWith('docs/') ? page.file.slice('docs/'.length) : `${outside}${page.file}`;
    lines.push(`- [${page.title}](${link}): ${summaryOf(page.file)}`);
  }
}
writeFileSync(join(folder, 'llms.txt'), `${lines.join('\n')}\n`);

if (folder !== 'docs') {
  const files = sections.flatMap(({ pages }) => pages.map(({ file }) => file));
  writeFileSync(join(folder, 'llms-full.txt'), files.map((file) => readFileSync(file, 'utf8')).join('\n---\n\n'));
  for (const file of files) cpSync(file, join(folder, file.replace(/^docs\//, '')));
}
