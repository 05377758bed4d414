/** The docs site: `npm run docs` builds it, `npm run docs:dev` serves it while you write. */
import { existsSync, readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { defineConfig, type DefaultTheme } from 'vitepress';
import { slugify } from '../../scripts/anchors.mjs';
import { addressOf, apiFolder, readSections, titleOf } from '../../scripts/pages.mjs';
import { useRelativeLinks } from './links.ts';
import { useMermaid } from './mermaid.ts';

const root = resolve('.'); // npm runs scripts there

const sections = readSections();
const pages = new Set(sections.flatMap((section) => section.pages.map(({ file }) => file)));
const isPage = (file: string) => pages.has(file) || (file.startsWith(`${apiFolder}/`) && file.endsWith('.md'));
const linkTo = (file: string) => `/${addressOf(file).replace(/(index)?\.md$/, '')}`;

const guide: DefaultTheme.SidebarItem[] = sections.map(({ title, pages }) => ({
  text: title,
  collapsed: title === 'Examples' || title === 'Project',
  items: [
    ...pages.map(({ file, title }) => ({ text: title, link: linkTo(file) })),
    ...(title === 'Reference' ? [{ text: 'API', link: linkTo(`${apiFolder}/README.md`) }] : []),
  ],
}));

/** The generated pages: a group for each entry point, in it one for functions, one for interfaces and so on. */
function apiItems(folder: string): DefaultTheme.SidebarItem[] {
  const entries = readdirSync(folder, { withFileTypes: true }).filter(({ name }) => name !== 'README.md');
  return entries
    .sort((a, b) => a.name.localeCompare(b.name, 'en'))
    .map(({ name }) => {
      const path = join(folder, name);
      if (name.endsWith('.md')) return { text: basename(name, '.md'), link: linkTo(path) };
      const readme = join(path, 'README.md');
      return existsSync(readme)
        ? { text: titleOf(readme), link: linkTo(readme), collapsed: true, items: apiItems(path) }
        : { text: name[0]!.toUpperCase() + name.slice(1).replace('-', ' '), collapsed: false, items: apiItems(path) };
    });
}

/** Guides before examples, and these before the generated pages. The browser runs it: it must not use anything outside. */
function boostDocument(id: string): number {
  if (id.includes('/reference/api/')) return 0.2;
  return /^\/(examples\/|changelog|architecture|contributing)/.test(id) ? 0.5 : 1;
}

export default defineConfig({
  title: 'walwatch',
  description: 'Row changes of PostgreSQL tables, delivered to TypeScript handlers by logical replication',
  // The repository's root, because the changelog and the READMEs of the examples are pages too.
  srcDir: '..',
  srcExclude: ['!(docs|examples|bench)/**/*', 'README.md', 'AGENTS.md'],
  rewrites: addressOf,
  head: [['link', { rel: 'icon', href: 'data:,' }]],
  outDir: '../.build/docs',
  cacheDir: '../.build/vitepress',
  vite: { publicDir: join(root, 'docs/public'), build: { chunkSizeWarningLimit: 2000 } }, // the search index
  markdown: {
    anchor: { slugify },
    attrs: { disable: true },
    config(md) {
      // The pages are plain Markdown: Vue's own {{ }} means nothing in them.
      for (const name of ['text', 'code_inline'] as const) {
        const rule = md.renderer.rules[name]!;
        md.renderer.rules[name] = (...args) => rule(...args).replaceAll('{{', '&#123;&#123;');
      }
      useRelativeLinks(md, root, (file) => (isPage(file) ? addressOf(file) : undefined));
      useMermaid(md);
    },
  },
  themeConfig: {
    nav: [
      { text: 'Getting started', link: '/getting-started' },
      { text: 'Reference', link: '/reference/watchers', activeMatch: '^/reference/(?!api/)' },
      { text: 'API', link: '/reference/api/', activeMatch: '^/reference/api/' },
      { text: 'Changelog', link: '/changelog' },
    ],
    sidebar: { '/': guide, '/reference/api/': [{ text: 'Guides', link: '/' }, ...apiItems(apiFolder)] },
    outline: [2, 3],
    search: {
      provider: 'local',
      options: { miniSearch: { searchOptions: { boostDocument } } },
    },
  },
});
