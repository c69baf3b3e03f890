import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, test } from 'vitest';

const core = fileURLToPath(new URL('..', import.meta.url));

test('the core has no dependency of any kind', async () => {
  const manifest = JSON.parse(await readFile(`${core}package.json`, 'utf8')) as Record<string, unknown>;
  expect(manifest).not.toHaveProperty('dependencies');
  expect(manifest).not.toHaveProperty('peerDependencies');
  expect(manifest).not.toHaveProperty('optionalDependencies');
});

test('bundled, minified and gzipped it is under 16 kB, and imports nothing but Node', async () => {
  const { outputFiles, metafile } = await build({
    entryPoints: [`${core}src/index.ts`],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'node',
    write: false,
    metafile: true,
  });
  const imports = Object.values(metafile.outputs).flatMap((output) => output.imports.map(({ path }) => path));
  expect(imports.filter((path) => !path.startsWith('node:'))).toEqual([]);
  expect(gzipSync(outputFiles[0]?.contents ?? '').length).toBeLessThan(16_000);
});
