import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig, type ViteUserConfig } from 'vitest/config';
import base from '../../vitest.config.ts';
import { subjects } from './subjects.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** To the sandbox's own sources: the links in node_modules lead to those without a mutant. */
const alias = readdirSync(`${root}packages`).flatMap((name) => [
  { find: `@melange/${name}/adapter`, replacement: `${root}packages/${name}/src/adapter.ts` },
  { find: `@melange/${name}`, replacement: `${root}packages/${name}/src/index.ts` },
]);

const { MELANGE_MUTATION_SUBJECT: chosen } = process.env;

const config: ViteUserConfig = defineConfig({
  root,
  plugins: base.plugins ?? [],
  resolve: { alias },
  test: {
    include: subjects.filter(({ name }) => name === chosen).flatMap(({ tests }) => tests),
    // Those of the package as it is published: a source with its mutants is another one.
    exclude: ['**/package.test.ts'],
    pool: 'threads',
    testTimeout: 20_000,
  },
});

export default config;
