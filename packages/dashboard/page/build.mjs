// Bundles the page into `dist/page`, from where the server reads it.
import { copyFile, mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const folder = here('../dist/page/');

await mkdir(folder, { recursive: true });
await build({
  entryPoints: [here('main.tsx')],
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  legalComments: 'inline',
  outfile: `${folder}page.js`,
});
for (const name of ['page.css', 'index.html', 'sign-in.html']) await copyFile(here(name), `${folder}${name}`);
