import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Metafile } from 'esbuild';

/** A function in a folder, as it is deployed. */
export interface Bundle extends AsyncDisposable {
  readonly folder: string;
  /** The file that Lambda imports. */
  readonly file: string;
  /** Of all files. */
  readonly bytes: number;
  /** Paths of the sources that the import of `file` evaluates. */
  readonly imported: readonly string[];
}

/**
 * Bundles a function of `test/functions`, as docs/lambda.md says. Node's own modules, and the SDK's that `require` them, find the
 * `require` of CommonJS.
 */
export async function bundle(name: string): Promise<Bundle> {
  const folder = await mkdtemp(join(tmpdir(), 'melange-lambda-'));
  const { metafile } = await build({
    entryPoints: { index: fileURLToPath(new URL(`../functions/${name}.ts`, import.meta.url)) },
    outdir: folder,
    bundle: true,
    // Parts of the SDK that only some processes need are files of their own, which a cold start does not read.
    splitting: true,
    minify: true,
    // Manifests are names of classes.
    keepNames: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    outExtension: { '.js': '.mjs' },
    mainFields: ['module', 'main'],
    banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
    logLevel: 'error',
    metafile: true,
  });
  const outputs = Object.values(metafile.outputs);
  const bytes = outputs.reduce((sum, output) => sum + output.bytes, 0);
  const file = join(folder, 'index.mjs');
  const imported = importedBy(
    metafile,
    outputs.find(({ entryPoint }) => entryPoint?.endsWith(`${name}.ts`)),
  );
  return { folder, file, bytes, imported, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}

/** Sources of a file and of all that it imports, without what it loads later. */
function importedBy({ outputs }: Metafile, file: Metafile['outputs'][string] | undefined): readonly string[] {
  const found = new Set([file]);
  for (const one of found)
    for (const { path, kind } of one?.imports ?? [])
      if (kind === 'import-statement') found.add(outputs[path]);
  return [...found].flatMap((one) => Object.keys(one?.inputs ?? {}));
}
