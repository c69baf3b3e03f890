import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** A function in one file, as it is deployed. */
export interface Bundle extends AsyncDisposable {
  readonly folder: string;
  readonly file: string;
  readonly bytes: number;
}

/** Bundles a function of `test/functions`. What Node's own modules and the SDK `require` is there, as in CommonJS. */
export async function bundle(name: string): Promise<Bundle> {
  const folder = await mkdtemp(join(tmpdir(), 'melange-lambda-'));
  const file = join(folder, 'index.mjs');
  await build({
    entryPoints: [fileURLToPath(new URL(`../functions/${name}.ts`, import.meta.url))],
    outfile: file,
    bundle: true,
    minify: true,
    // Manifests are names of classes.
    keepNames: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    mainFields: ['module', 'main'],
    banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
    logLevel: 'error',
  });
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  const { size: bytes } = await stat(file);
  return { folder, file, bytes, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}
