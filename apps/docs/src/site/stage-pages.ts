import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join, posix } from 'node:path';
import { type MarkdownPage, root } from '../markdown-page.ts';

/** What a page of the site is made from; the path is from the root of the repository. */
type Target = { readonly kind: 'page' | 'file' | 'folder' | 'image'; readonly path: string };

const images = new Set(['.svg', '.png']);

/**
 * Copies the Markdown files of the repository to the folder, each where it is here, a `README.md` as the `index.md` of
 * its folder. What they link to and is no page becomes one: a source file shows its text, a folder its names. A link
 * that leads nowhere is left as it is, for the build of the site to fail on.
 */
export async function stagePages(pages: readonly MarkdownPage[], folder: string): Promise<void> {
  const staged = new Set(pages.map(({ path }) => path));
  const wanted: Target[] = [];
  await rm(folder, { recursive: true, force: true });
  for (const page of pages) {
    const text = await withSiteLinks(page, staged, (target) => wanted.push(target));
    await write(folder, sitePath(page.path), text);
  }
  const done = new Set<string>();
  for (const { kind, path } of wanted) {
    if (kind === 'page' || done.has(path)) continue;
    done.add(path);
    if (kind === 'image') await copy(folder, path);
    else if (kind === 'file') await write(folder, `${path}.md`, await filePage(path));
    // Its files come after it: the list grows while it is gone through.
    else await write(folder, `${path}/index.md`, await folderPage(path, staged, (file) => wanted.push(file)));
  }
}

/** Where a Markdown file of the repository is on the site. */
export function sitePath(path: string): string {
  return path.replace(/(^|\/)README\.md$/, '$1index.md');
}

async function withSiteLinks(
  { path, text, links }: MarkdownPage,
  staged: ReadonlySet<string>,
  want: (target: Target) => void,
): Promise<string> {
  let result = text;
  for (const written of new Set(links.map(({ target }) => target))) {
    if (/^([a-z]+:|#)/.test(written)) continue;
    const [file = '', anchor] = written.split('#');
    const target = await targetOf(posix.join(posix.dirname(path), decodeURI(file)), staged);
    if (target === undefined || target.kind === 'image') {
      if (target !== undefined) want(target);
      continue;
    }
    want(target);
    const link = siteLink(target) + (anchor === undefined ? '' : `#${anchor}`);
    result = result.replaceAll(`](${written})`, `](${link})`);
  }
  return result;
}

/** What the path leads to, or `undefined` when there is nothing. */
async function targetOf(given: string, staged: ReadonlySet<string>): Promise<Target | undefined> {
  const path = given.replace(/\/$/, '');
  if (staged.has(path)) return { kind: 'page', path };
  const readme = path === '.' ? 'README.md' : `${path}/README.md`;
  if (staged.has(readme)) return { kind: 'page', path: readme };
  const found = await stat(join(root, path)).catch(() => undefined);
  if (found === undefined) return undefined;
  if (images.has(extname(path))) return { kind: 'image', path };
  return { kind: found.isDirectory() ? 'folder' : 'file', path };
}

function siteLink({ kind, path }: Target): string {
  if (kind === 'folder') return `/${path}/`;
  if (kind === 'file') return `/${path}.md`;
  return `/${sitePath(path)}`;
}

async function filePage(path: string): Promise<string> {
  const text = await readFile(join(root, path), 'utf8');
  return [
    '---',
    'search: false',
    'outline: false',
    '---',
    `# ${basename(path)}`,
    '',
    `\`${path}\``,
    '',
    `\`\`\`\`${extname(path).slice(1)}:line-numbers`,
    text.trimEnd(),
    '````',
    '',
  ].join('\n');
}

async function folderPage(
  path: string,
  staged: ReadonlySet<string>,
  want: (target: Target) => void,
): Promise<string> {
  const entries = await readdir(join(root, path), { withFileTypes: true });
  const lines: string[] = [];
  for (const entry of entries.filter(({ name }) => name !== 'node_modules' && name !== 'dist')) {
    const target = await targetOf(`${path}/${entry.name}`, staged);
    if (target?.kind === 'file' || target?.kind === 'page') {
      want(target);
      lines.push(`- [${entry.name}](${siteLink(target)})`);
    } else lines.push(`- ${entry.name}`);
  }
  return [`# ${path}`, '', ...lines, ''].join('\n');
}

async function write(folder: string, path: string, text: string): Promise<void> {
  const file = join(folder, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}

async function copy(folder: string, path: string): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await cp(join(root, path), join(folder, path));
}
