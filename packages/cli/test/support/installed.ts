import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';

const from = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const require = createRequire(import.meta.url);

/** It loads files of its own beside it. */
const jitiStays: Plugin = {
  name: 'jiti-stays',
  setup(bundler) {
    bundler.onResolve({ filter: /^jiti$/ }, () => ({ path: require.resolve('jiti'), external: true }));
  },
};

/** A folder in which the command and some packages are installed, each bundled: a process starts quickly. */
export interface Installed extends AsyncDisposable {
  readonly folder: string;
  /** The file to run. */
  readonly main: string;
}

/** Installs the command, the backends of RabbitMQ and Redis, and as `melange.config.mjs` a config. */
export async function install(config?: string): Promise<Installed> {
  const folder = await mkdtemp(join(tmpdir(), 'melange-cli-'));
  const packages = ['backend-rabbitmq', 'backend-redis-streams'];
  await build({
    entryPoints: {
      'bin/main': from('../../src/main.ts'),
      ...Object.fromEntries(
        packages.map((name) => [
          `node_modules/@melange/${name}/index`,
          from(`../../../${name}/src/index.ts`),
        ]),
      ),
      ...(config !== undefined && { 'melange.config': from(config) }),
    },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
    plugins: [jitiStays],
    // What is no module asks for Node's own modules by it.
    banner: {
      js: `import { createRequire as requireOfThis } from 'node:module'; const require = requireOfThis(import.meta.url);`,
    },
  });
  for (const name of packages) {
    const at = join(folder, 'node_modules/@melange', name);
    await mkdir(at, { recursive: true });
    await writeFile(
      join(at, 'package.json'),
      JSON.stringify({ name: `@melange/${name}`, type: 'module', exports: './index.mjs' }),
    );
  }
  return {
    folder,
    main: join(folder, 'bin/main.mjs'),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}
