// Follows the relative links of every Markdown file: the file exists, and has the heading that an anchor names.
// Links to other sites are not looked at.
//   node scripts/check-links.mjs                       in this folder
//   node scripts/check-links.mjs <folder> [left out]   in a package without that folder: only README.md must not link there
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { slugify } from './anchors.mjs';
import { apiFolder } from './pages.mjs';

const skipped = new Set(['node_modules', 'dist', '.build', '.git', 'coverage']);

/** @type {(folder: string) => string[]} */
const pagesIn = (folder) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return skipped.has(entry.name) || path === apiFolder ? [] : pagesIn(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });

/** @type {(page: string) => string} */
const proseOf = (page) => readFileSync(page, 'utf8').replaceAll(/^(```+|~~~+)[^]*?^\1/gm, '');

/** The anchors that GitHub gives to the headings of a page. @param {string} page */
function anchorsOf(page) {
  const anchors = new Set();
  for (const [, heading = ''] of proseOf(page).matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    const slug = slugify(heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1'));
    let anchor = slug;
    for (let n = 1; anchors.has(anchor); n++) anchor = `${slug}-${n}`;
    anchors.add(anchor);
  }
  return anchors;
}

const [folder = '.', leftOut = ' '] = process.argv.slice(2);
process.chdir(folder);
const broken = [];
let count = 0;
for (const page of pagesIn('.')) {
  const prose = proseOf(page).replaceAll(/`[^`\n]*`/g, (code) => (code.includes('](') ? '' : code));
  for (const [, target = ''] of prose.matchAll(/\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)/g)) {
    if (/^[a-z]+:/i.test(target)) continue;
    count++;
    const [path = '', anchor] = decodeURIComponent(target).split('#');
    const file = path === '' ? page : join(dirname(page), path);
    if (page !== 'README.md' && `${file}/`.startsWith(`${leftOut}/`)) continue;
    if (relative('.', file).startsWith('..') || !existsSync(file)) broken.push(`${page}: ${target} does not exist`);
    else if (anchor && file.endsWith('.md') && !anchorsOf(file).has(anchor))
      broken.push(`${page}: ${target} has no such heading`);
  }
}

console.log(`${count} links`);
for (const line of broken) console.error(line);
if (broken.length > 0 || count === 0) process.exitCode = 1;
