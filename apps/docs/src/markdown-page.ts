import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import GithubSlugger from 'github-slugger';
import MarkdownIt from 'markdown-it';
import type Token from 'markdown-it/lib/token.mjs';

/** Folder of the repository. */
export const root: string = fileURLToPath(new URL('../../..', import.meta.url));

/** What the checks need to know of a Markdown file. */
export interface MarkdownPage {
  /** From the root of the repository, with `/`. */
  readonly path: string;
  readonly text: string;
  /** Fences, and HTML comments that begin with `ts`, in their order. */
  readonly blocks: readonly Block[];
  /** Level and text. */
  readonly headings: readonly (readonly [number, string])[];
  /** Names that links to this page may have after `#`. */
  readonly anchors: ReadonlySet<string>;
  readonly links: readonly Link[];
}

/** A fence, or hidden code. */
export interface Block {
  /** First word after the backticks; of an HTML comment its first word. */
  readonly language: string;
  /** The other words. */
  readonly words: readonly string[];
  readonly code: string;
  /** Line of the first line of the code; the first line of the file is 1. */
  readonly line: number;
  /** Hidden in an HTML comment. */
  readonly hidden: boolean;
}

/** Target as written. */
export interface Link {
  readonly target: string;
  readonly line: number;
}

const markdown = new MarkdownIt({ html: true, linkify: false });
const leftOut = new Set(['node_modules', 'dist', 'reference', 'CHANGELOG.md']);

/** Every Markdown file of the repository that people read, sorted by path. */
export async function readPages(): Promise<readonly MarkdownPage[]> {
  const paths = (await markdownFiles(root)).map((path) => relative(root, path).replaceAll('\\', '/')).sort();
  return Promise.all(paths.map(async (path) => parsePage(path, await readFile(join(root, path), 'utf8'))));
}

async function markdownFiles(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const nested = entries.map(async (entry) => {
    if (entry.name.startsWith('.') || leftOut.has(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return markdownFiles(path);
    // Approved texts of public APIs are no pages.
    return entry.name.endsWith('.md') && !entry.name.endsWith('.api.md') ? [path] : [];
  });
  return (await Promise.all(nested)).flat();
}

/** Reads blocks, headings and links of one file. */
export function parsePage(path: string, text: string): MarkdownPage {
  const tokens = markdown.parse(text, {});
  const blocks: Block[] = [];
  const headings: [number, string][] = [];
  const anchors = new Set<string>();
  const links: Link[] = [];
  const slugger = new GithubSlugger();
  for (const [index, token] of tokens.entries()) {
    const line = (token.map?.[0] ?? 0) + 1;
    if (token.type === 'fence') {
      const [language = '', ...words] = token.info.trim().split(/\s+/);
      blocks.push({ language, words, code: token.content, line: line + 1, hidden: false });
    }
    if (token.type === 'html_block') blocks.push(...hiddenBlocks(token.content, line));
    if (token.type === 'heading_open') {
      const heading = plainText(tokens[index + 1]);
      headings.push([Number(token.tag.slice(1)), heading]);
      anchors.add(slugger.slug(heading));
    }
    for (const child of token.children ?? []) {
      const target = child.attrGet('href') ?? child.attrGet('src');
      if (target !== null) links.push({ target, line });
    }
  }
  return { path, text, blocks, headings, anchors, links };
}

function hiddenBlocks(html: string, line: number): readonly Block[] {
  const [, info, code = ''] = /^<!-- (ts\b.*|continues)\n?([\s\S]*?)-->/.exec(html) ?? [];
  if (info === undefined) return [];
  const [language = '', ...words] = info.replace('-->', '').trim().split(/\s+/);
  return [{ language, words, code, line: line + 1, hidden: true }];
}

function plainText(token: Token | undefined): string {
  return (token?.children ?? []).map(({ content }) => content).join('');
}
