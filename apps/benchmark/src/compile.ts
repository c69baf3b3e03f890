import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const source = new URL('./', import.meta.url);
/** Within this package, so that the compiled files find its dependencies. */
const dist = fileURLToPath(new URL('../dist/', import.meta.url));

/** The clients stay what their authors published; Melange and the contestants are compiled as for a release. */
const clients = [
  'amqplib',
  'kafkajs',
  'ioredis',
  'bullmq',
  '@aws-sdk/*',
  '@opentelemetry/*',
  'pg',
  'pg-boss',
  'graphile-worker',
  '@electric-sql/pglite',
];

/** Where the compiled files are. */
export interface Compiled {
  /** The file that a process is started with. */
  readonly child: string;
  /** The file of a contestant by its name. */
  contestant(name: string): string;
  /** Removes them. */
  remove(): Promise<void>;
}

/**
 * Compiles the contestants, so that no compiler runs in their processes: one that keeps the names of functions, as
 * those for development do, would charge each closure for it.
 */
export async function compile(): Promise<Compiled> {
  const contestants = (await readdir(new URL('contestants/', source))).filter((name) => name.endsWith('.ts'));
  await mkdir(dist, { recursive: true });
  const directory = await mkdtemp(`${dist}run-`);
  await build({
    entryPoints: ['child.ts', ...contestants.map((name) => `contestants/${name}`)].map((path) =>
      fileURLToPath(new URL(path, source)),
    ),
    outdir: directory,
    outbase: fileURLToPath(source),
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external: clients,
    logLevel: 'warning',
  });
  return {
    child: `${directory}/child.mjs`,
    contestant: (name) => `${directory}/contestants/${name}.mjs`,
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}
