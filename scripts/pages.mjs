// The pages of the docs site: the guides, the READMEs of the examples, and the project's own pages.
// The site's sidebar, llms.txt and the site's addresses come from here.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';

/** In the order of the sidebar. `first` names the pages whose order matters; the others follow by title. */
const sections = [
  { title: 'Introduction', folder: 'docs', first: ['README', 'getting-started', 'troubleshooting'] },
  {
    title: 'Concepts',
    folder: 'docs/concepts',
    first: ['how-it-works', 'delivery', 'tables', 'schema-changes', 'slots-and-disk'],
  },
  {
    title: 'How-to guides',
    folder: 'docs/how-to',
    first: [
      'search-index', 'invalidate-a-cache', 'send-webhooks', 'transactional-outbox', 'audit-log', 'live-list-in-react',
      'exactly-once', 'handle-failures', 'deploy', 'monitor', 'trace-a-change', 'testing', 'frameworks-and-orms', 'fan-out-with-nats',
    ], // prettier-ignore
  },
  {
    title: 'Reference',
    folder: 'docs/reference',
    first: ['watchers', 'subscribe', 'watch', 'errors', 'database', 'cli', 'nats', 'sse', 'outbox'],
  },
  {
    title: 'Migrate',
    folder: 'docs/migrate',
    first: ['ectowatch', 'listen-notify', 'debezium', 'sequin', 'prisma-pulse', 'hasura', 'cut-over'],
  },
  { title: 'Providers', folder: 'docs/providers', first: [] },
  { title: 'Examples', folder: 'examples', first: [] },
  { title: 'Project', folder: '.', first: ['CHANGELOG', 'ARCHITECTURE', 'CONTRIBUTING', 'SECURITY'] },
];

/** The generated reference (typedoc). */
export const apiFolder = 'docs/reference/api';

/** What a page is called. @type {(file: string) => string} */
export function titleOf(file) {
  const [, title = basename(file, '.md')] = /^# (.+)$/m.exec(readFileSync(file, 'utf8')) ?? [];
  return title.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll('`', '');
}

/** @type {(folder: string) => string[]} */
function filesOf(folder) {
  if (folder === '.') return ['CHANGELOG.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SECURITY.md', 'bench/README.md'];
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder);
  return (folder === 'examples' ? ['README.md', ...names.map((name) => `${name}/README.md`)] : names)
    .map((name) => `${folder}/${name}`)
    .filter((file) => file.endsWith('.md') && existsSync(file));
}

/** The sections that have pages, each with its pages in order. */
export function readSections() {
  return sections
    .map(({ title, folder, first }) => {
      /** @type {(file: string) => number} */
      const rank = (file) => first.indexOf(basename(file, '.md')) + 1 || Infinity;
      const pages = filesOf(folder).map((file) => ({ file, title: titleOf(file) }));
      pages.sort((a, b) => {
        const [left, right] = [rank(a.file), rank(b.file)];
        return left === right ? a.title.localeCompare(b.title, 'en') : left - right;
      });
      return { title, folder, pages };
    })
    .filter(({ pages }) => pages.length > 0);
}

/**
 * Where the site has a file: docs/README.md is index.md, examples/worker/README.md is examples/worker.md.
 * @type {(file: string) => string}
 */
export function addressOf(file) {
  const path = file.replace(/^docs\//, '');
  if (path.startsWith('reference/api/') || path === 'README.md') return path.replace(/README\.md$/, 'index.md');
  return path.replace(/\/README\.md$/, '.md').toLowerCase();
}
