import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DefaultTheme, defineConfig } from 'vitepress';

const staged = join(import.meta.dirname, '../.site');

/** Title of a staged page: its first heading. */
function titleOf(path: string): string {
  return /^# (.+)$/m.exec(readFileSync(join(staged, path), 'utf8'))?.[1]?.replaceAll('`', '') ?? path;
}

/** The pages of the folders below `folder` that `wanted` names. */
function folders(folder: string, wanted: (name: string) => boolean): DefaultTheme.SidebarItem[] {
  const names = readdirSync(join(staged, folder)).filter(wanted);
  return names.map((name) => ({ text: titleOf(`${folder}/${name}/index.md`), link: `/${folder}/${name}/` }));
}

const guide = [
  'architecture',
  'writing-a-consumer',
  'testing-your-service',
  'operating',
  'delivery-guarantees',
  'wire-format',
  'writing-a-backend',
  'migrating-from-python',
  'sqs',
  'kafka',
];

const sidebar: DefaultTheme.SidebarItem[] = [
  {
    text: 'Guide',
    items: guide.map((name) => ({ text: titleOf(`docs/${name}.md`), link: `/docs/${name}` })),
  },
  {
    text: 'Examples',
    items: folders('apps', (name) => name.startsWith('example-')).concat(
      folders('apps', (name) => name === 'order-saga'),
    ),
  },
  { text: 'Packages', items: folders('packages', (name) => name !== 'node_modules') },
  {
    text: 'API',
    collapsed: true,
    items: readdirSync(join(staged, 'api'))
      .filter((name) => !/^(index\.md|typedoc-sidebar\.json)$/.test(name))
      .map((name) => ({ text: name.replace(/\.md$/, ''), link: `/api/${name.replace(/\.md$/, '')}` })),
  },
  {
    text: 'Decisions',
    collapsed: true,
    items: readdirSync(join(staged, 'docs/decisions'))
      .filter((name) => /^\d/.test(name))
      .map((name) => ({
        text: titleOf(`docs/decisions/${name}`),
        link: `/docs/decisions/${name.replace('.md', '')}`,
      })),
  },
  { text: 'Contributing', link: '/CONTRIBUTING' },
];

export default defineConfig({
  title: 'Melange',
  description: 'Message-driven services, written once and run on any broker',
  srcDir: '.site',
  outDir: 'dist',
  cacheDir: '.site-cache',
  cleanUrls: true,
  lastUpdated: false,
  head: [['link', { rel: 'icon', href: 'data:,' }]],
  ignoreDeadLinks: false,
  markdown: { anchor: { slugify: githubSlug } },
  themeConfig: {
    nav: [
      { text: 'Guide', link: '/docs/writing-a-consumer' },
      { text: 'Examples', link: '/apps/example-01-first-message/' },
      { text: 'API', link: '/api/' },
    ],
    sidebar,
    outline: [2, 3],
    search: { provider: 'local' },
  },
});

/** As on the pages of the repository, so that one link works in both places. */
function githubSlug(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{Pc}\- ]/gu, '')
    .replaceAll(' ', '-');
}
