import { transform } from 'esbuild';
import { defineConfig, type Plugin, type ViteUserConfig } from 'vitest/config';

/** Vitest's own transform keeps TC39 decorators as they are; Node does not run them yet. */
const lowerDecorators: Plugin = {
  name: 'lower-decorators',
  enforce: 'pre',
  async transform(code, id) {
    if (!id.endsWith('.ts') || !/^\s*@\w+/m.test(code)) return undefined;
    const lowered = await transform(code, {
      loader: 'ts',
      target: 'es2022',
      sourcemap: true,
      sourcefile: id,
    });
    return { code: lowered.code, map: lowered.map };
  },
};

const config: ViteUserConfig = defineConfig({
  plugins: [lowerDecorators],
  test: {
    include: ['packages/*/test/**/*.test.ts', 'apps/*/test/**/*.test.ts'],
    globalSetup: ['./apps/brokers/src/vitest-setup.ts'],
    pool: 'forks',
    // Broker tests restart their broker and count its messages: one file at a time.
    fileParallelism: false,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});

export default config;
