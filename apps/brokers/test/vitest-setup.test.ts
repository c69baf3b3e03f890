import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import setup, { type ChosenTests } from '../src/vitest-setup.ts';

const lines: string[] = [];
const variables = ['RABBITMQ_URL', 'REDIS_URL', 'SQS_URL', 'KAFKA_URL', 'NATS_URL', 'POSTGRES_URL'];

beforeEach(() => {
  lines.length = 0;
  // The setup sets and deletes them: stubbed, they are as they were again after each test.
  for (const variable of variables) vi.stubEnv(variable, process.env[variable]);
  vi.spyOn(console, 'log').mockImplementation((line) => void lines.push(String(line)));
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

describe('with MELANGE_BROKERS=none', () => {
  const said = ['rabbitmq', 'redis', 'sqs', 'kafka', 'nats', 'postgres'].map(
    (name) => `brokers: no ${name}, what needs it is skipped: MELANGE_BROKERS is none`,
  );

  test('brings up nothing, and says so', async () => {
    vi.stubEnv('MELANGE_BROKERS', 'none');
    vi.stubEnv('MELANGE_REQUIRE_BROKERS', undefined);
    await (await setup())();
    expect(lines).toEqual(said);
  });

  test.each(['all', 'redis, rabbitmq'])(
    'fails the run when MELANGE_REQUIRE_BROKERS is %j',
    async (required) => {
      vi.stubEnv('MELANGE_BROKERS', 'none');
      vi.stubEnv('MELANGE_REQUIRE_BROKERS', required);
      await expect(setup()).rejects.toThrow(
        'asks for what is missing: rabbitmq (MELANGE_BROKERS is none); redis (MELANGE_BROKERS is none)',
      );
      expect(lines).toEqual(said);
    },
  );
});

describe('where test files are chosen', () => {
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  const chosen = (...testFiles: string[]): ChosenTests => ({
    vitest: { filenamePattern: ['any'] },
    globTestFiles: async () => ({ testFiles: testFiles.map((file) => `${root}${file}`) }),
  });

  beforeEach(() => {
    vi.stubEnv('MELANGE_BROKERS', undefined);
    vi.stubEnv('MELANGE_REQUIRE_BROKERS', undefined);
    for (const variable of variables) vi.stubEnv(variable, 'kafka://127.0.0.1:1');
  });

  test('none is brought up for files that ask for none', async () => {
    await (await setup(chosen('packages/core/test/retry-policy.test.ts')))();
    expect(lines).toEqual([
      'brokers: the chosen test files do not ask for rabbitmq, redis, sqs, kafka, nats, postgres',
    ]);
    expect(variables.map((variable) => process.env[variable])).toEqual(variables.map(() => undefined));
  });

  test.each([
    ['a file that names its variable', 'packages/backend-sqs/test/conformance.test.ts', ['sqs']],
    ['a file whose support names it', 'packages/backend-kafka/test/publishing.test.ts', ['kafka']],
    ['a file that starts one of its own', 'apps/order-saga/test/interrupted.test.ts', ['redis', 'kafka']],
  ])('%s gets its broker', async (_, file, names) => {
    await (await setup(chosen(file)))();
    const looked = lines.flatMap((line) => /^brokers: no (\w+),/.exec(line)?.[1] ?? []);
    expect(looked).toEqual(names);
  });
});

describe('with an address where nothing answers', () => {
  beforeEach(() => {
    vi.stubEnv('MELANGE_BROKERS', undefined);
    vi.stubEnv('RABBITMQ_URL', 'amqp://somebody:secret@127.0.0.1:1');
    vi.stubEnv('REDIS_URL', 'redis://127.0.0.1:1');
    vi.stubEnv('SQS_URL', 'http://127.0.0.1:1');
    vi.stubEnv('KAFKA_URL', 'kafka://127.0.0.1:1');
    vi.stubEnv('NATS_URL', 'nats://127.0.0.1:1');
    vi.stubEnv('POSTGRES_URL', 'postgres://127.0.0.1:1');
  });

  test('goes on without the brokers, if another one is required', async () => {
    vi.stubEnv('MELANGE_REQUIRE_BROKERS', 'another');
    await (await setup())();
    expect(lines).toEqual([
      expect.stringMatching(/^brokers: no rabbitmq, .* RABBITMQ_URL/),
      expect.stringMatching(/^brokers: no redis, .* REDIS_URL/),
      expect.stringMatching(/^brokers: no sqs, .* SQS_URL/),
      expect.stringMatching(/^brokers: no kafka, .* KAFKA_URL/),
      expect.stringMatching(/^brokers: no nats, .* NATS_URL/),
      expect.stringMatching(/^brokers: no postgres, .* POSTGRES_URL/),
    ]);
  });

  test('fails the run if it is required, without its credentials', async () => {
    vi.stubEnv('MELANGE_REQUIRE_BROKERS', 'rabbitmq');
    const failure = await setup().catch((error: Error) => error.message);
    expect(failure).toMatch(/no rabbitmq answers at the address in RABBITMQ_URL/);
    expect(`${failure} ${lines}`).not.toContain('secret');
  });
});

test.skipIf(variables.some((variable) => process.env[variable] === undefined))(
  'says in a line each which brokers are used and where they came from (skipped without them)',
  async () => {
    vi.stubEnv('MELANGE_BROKERS', undefined);
    await (await setup())();
    expect(lines).toEqual([
      expect.stringMatching(/^brokers: rabbitmq amqps?:\/\/.*\(environment\)$/),
      expect.stringMatching(/^brokers: redis rediss?:\/\/.*\(environment\)$/),
      expect.stringMatching(/^brokers: sqs https?:\/\/.*\(environment\)$/),
      expect.stringMatching(/^brokers: kafka kafka:\/\/.*\(environment\)$/),
      expect.stringMatching(/^brokers: nats nats:\/\/.*\(environment\)$/),
      expect.stringMatching(/^brokers: postgres postgres:\/\/.*\(environment\)$/),
    ]);
  },
);
