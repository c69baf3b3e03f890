import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CodeFile, codeFiles } from '../src/code-files.ts';
import { readSources, withGeneratedParts } from '../src/generated-parts.ts';
import { type MarkdownPage, readPages, root } from '../src/markdown-page.ts';

const execute = promisify(execFile);
const bin = (name: string) => join(root, 'node_modules/.bin', name);
const app = join(root, 'apps/docs');
const pages = await readPages();
/** Every project of NestJS compiles with `experimentalDecorators`. */
const ofNest = (code: string): boolean => code.includes("from '@nestjs/");
const byPath = new Map(pages.map((page) => [page.path, page]));

describe('the TypeScript of the Markdown files', () => {
  let folder = '';
  const files = pages.flatMap((page) => codeFiles(page).map((file) => ({ ...file, page })));
  const fileOf = ({ page, name }: CodeFile & { readonly page: MarkdownPage }) =>
    join(folder, page.path, name);

  beforeAll(async () => {
    // Within this app, where every package of the repository resolves, and outside node_modules, where TypeScript
    // takes code for that of others.
    folder = await mkdtemp(join(app, '.markdown-'));
    for (const file of files) {
      await mkdir(dirname(fileOf(file)), { recursive: true });
      await writeFile(fileOf(file), file.code);
    }
    const compilerOptions = {
      noEmit: true,
      declaration: false,
      isolatedDeclarations: false,
      noUnusedLocals: false,
      noUnusedParameters: false,
      moduleDetection: 'force',
    };
    const write = (name: string, chosen: typeof files, options: object) => {
      const config = { compilerOptions: { ...compilerOptions, ...options }, files: chosen.map(fileOf) };
      const text = JSON.stringify({ extends: '../../../tsconfig.base.json', ...config });
      return writeFile(join(folder, name), text);
    };
    await write(
      'tsconfig.json',
      files.filter(({ code }) => !ofNest(code)),
      {},
    );
    await write(
      'tsconfig.nest.json',
      files.filter(({ code }) => ofNest(code)),
      {
        erasableSyntaxOnly: false,
        experimentalDecorators: true,
        emitDecoratorMetadata: true,
      },
    );
  });

  afterAll(() => rm(folder, { recursive: true }));

  test.each(['tsconfig.json', 'tsconfig.nest.json'])('compiles: %s', { timeout: 60_000 }, async (config) => {
    expect(files.filter(({ code }) => ofNest(code) === (config !== 'tsconfig.json'))).not.toEqual([]);
    const { stdout } = await execute(bin('tsc'), ['-p', join(folder, config), '--pretty', 'false']).catch(
      (error: { readonly stdout: string }) => error,
    );
    expect(stdout.replaceAll(/\S*\.markdown-\w+\//g, '')).toBe('');
  });

  test.for(files.filter(({ output }) => output !== undefined).map((file) => [file.page.path, file] as const))(
    '%s runs as it says',
    { timeout: 60_000 },
    async ([, file]) => {
      const { stdout } = await execute(bin('tsx'), [fileOf(file)], { cwd: app });
      expect(stdout).toBe(file.output);
    },
  );
});

test('the generated parts are what the sources say (`pnpm docs:generate` makes them)', async () => {
  const sources = await readSources(pages);
  for (const { path, text } of pages) expect(withGeneratedParts(text, sources), path).toBe(text);
});

describe.for(pages)('$path', ({ path, links }) => {
  test('links to what exists', () => {
    const broken = links.filter(({ target }) => !leadsSomewhere(path, target));
    expect(broken).toEqual([]);
  });
});

function leadsSomewhere(from: string, target: string): boolean {
  if (/^(https?|mailto):/.test(target)) return true;
  const [file = '', anchor = ''] = decodeURI(target).split('#');
  const path = file === '' ? from : posix.normalize(posix.join(posix.dirname(from), file)).replace(/\/$/, '');
  if (!existsSync(join(root, path))) return false;
  return anchor === '' || (byPath.get(path)?.anchors.has(anchor) ?? false);
}
