import { transform } from 'esbuild';
import { defineConfig, type Plugin, type ViteUserConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Where decorators are those of `experimentalDecorators`, as in every project of NestJS. */
const legacyDecorators = '/packages/nestjs/test/';

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
      ...(id.includes(legacyDecorators) && {
        tsconfigRaw: { compilerOptions: { experimentalDecorators: true } },
      }),
    });
    return { code: lowered.code, map: lowered.map };
  },
};

/** The longest, by name, each of half a minute and more: begun last, one of them would run alone at the end. */
const longest = [
  'backend-kafka/test/conformance',
  'backend-sqs/test/conformance',
  'backend-rabbitmq/test/crashes',
  'conformance/test/broker-mutants',
  'backend-kafka/test/killer-message',
  'backend-sqs/test/killer-message',
  'backend-kit/test/conformance',
  'backend-redis-streams/test/conformance',
  'backend-rabbitmq/test/conformance',
  'backend-nats/test/conformance',
  'backend-postgres/test/conformance',
  'order-saga/test/command-line',
  'brokers/test/up-and-down',
  'backend-rabbitmq/test/many-publishes',
  'scripts/test/commonjs-and-jest',
  'scripts/test/packages',
  'order-saga/test/outage',
  'dead-letters/test/backends',
  'nestjs/test/stranger',
  'backend-kafka/test/kafka-backend',
  'conformance/test/mutants',
  'dashboard/test/page',
  'dedup-redis/test/conformance',
  'dedup-redis/test/cluster-and-sentinel',
  'backend-kafka/test/rebalance',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const place = longest.findIndex((part) => moduleId.includes(part));
      return place < 0 ? longest.length : place;
    };
    return (await super.sort(files)).sort((one, other) => rank(one) - rank(other));
  }
}

const config: ViteUserConfig = defineConfig({
  plugins: [lowerDecorators],
  test: {
    include: ['packages/*/test/**/*.test.ts', 'apps/*/test/**/*.test.ts', 'scripts/test/**/*.test.ts'],
    globalSetup: ['./apps/brokers/src/vitest-setup.ts'],
    pool: 'forks',
    // What the SDK of AWS has to say about versions of Node, once for each process, hides what the tests say.
    env: { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' },
    // Files share the brokers of the run, each with queues of its own, and mostly wait for them: more than the two cores
    // that are always there. What stops, restarts or fills up a broker starts one for itself.
    maxWorkers: 5,
    sequence: { sequencer: LongestFirst },
    // Long, for a busy machine: what they end hangs.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
  },
});

export default config;
