import type { Block, MarkdownPage } from './markdown-page.ts';

/** A module made of the TypeScript blocks of a page. */
export interface CodeFile {
  /** Within the folder of its page. */
  readonly name: string;
  /** As long as the page: each line of code is where it is there, so that errors name the line of the page. */
  readonly code: string;
  /** What running it prints, or `undefined` when it is not run. */
  readonly output: string | undefined;
}

interface Draft {
  name: string;
  readonly blocks: Block[];
  runs: boolean;
  output: string;
}

/**
 * Modules of the page.
 *
 * - A block is a module of its own. One whose first line is a comment with a path, `// src/example.ts`, is that file.
 * - `<!-- continues -->` before a block adds it to the module before it.
 * - `<!-- ts … -->` is code that the reader need not see: it begins the module of the next block. With a path,
 *   `<!-- ts src/example.ts`, it is that file.
 * - A block marked `ts run` is run; the `text` blocks that follow it are its output.
 */
export function codeFiles({ path, text, blocks }: MarkdownPage): readonly CodeFile[] {
  const drafts: Draft[] = [];
  let preamble: Block[] = [];
  let continues = false;
  let current: Draft | undefined;
  for (const block of blocks) {
    const last = drafts.at(-1);
    if (block.language === 'continues') continues = true;
    else if (block.language === 'text' && current !== undefined) current.output += block.code;
    else if (block.language !== 'ts') current = undefined;
    else if (block.hidden && block.words[0] !== undefined) {
      drafts.push({ name: block.words[0], blocks: [block], runs: false, output: '' });
    } else if (block.hidden) preamble.push(block);
    else {
      const runs = block.words.includes('run');
      if (continues && last === undefined) throw new Error(`${path}:${block.line} continues nothing.`);
      if (continues && last !== undefined) {
        last.blocks.push(...preamble, block);
        last.runs ||= runs;
        current = last;
      } else {
        const name = /^\/\/ ([\w/.-]+\.m?ts)\n/.exec(block.code)?.[1] ?? `line-${block.line}.ts`;
        current = { name, blocks: [...preamble, block], runs, output: '' };
        drafts.push(current);
      }
      preamble = [];
      continues = false;
    }
  }
  const names = drafts.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`${path} has two files named ${twice}.`);
  return drafts.map(({ name, blocks: parts, runs, output }) => {
    if (runs && output === '') throw new Error(`${path}: no \`text\` block says what ${name} prints.`);
    return { name, code: inPlace(text, parts), output: runs ? output : undefined };
  });
}

function inPlace(text: string, blocks: readonly Block[]): string {
  const lines = text.split('\n').map(() => '');
  for (const { code, line } of blocks) {
    for (const [index, content] of code.split('\n').slice(0, -1).entries()) lines[line - 1 + index] = content;
  }
  return lines.join('\n');
}
