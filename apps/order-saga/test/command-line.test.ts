import { readArguments } from '@melange/order-saga';
import { describe, expect, test } from 'vitest';
import { figures, main, orderSaga, run } from './support/run.ts';

/** Gives a program a terminal to write to. */
const hasTerminal = await run('script', ['--version']).then(
  ({ stdout }) => stdout.includes('util-linux'),
  () => false,
);

describe('the backend', () => {
  test('is that of MELANGE_BACKEND where no flag says otherwise', () => {
    const environment = { MELANGE_BACKEND: 'rabbitmq' };
    const everywhere = (backend: string) => ({ orders: backend, payments: backend, saga: backend });
    expect(readArguments([], environment).backends).toEqual(everywhere('rabbitmq'));
    expect(readArguments([], { MELANGE_BACKEND: '' }).backends).toEqual(everywhere('memory'));
    expect(readArguments(['--backend', 'kafka'], environment).backends).toEqual(everywhere('kafka'));
    expect(readArguments(['--saga-backend', 'sqs'], environment).backends).toEqual({
      ...everywhere('rabbitmq'),
      saga: 'sqs',
    });
  });

  test('that is not known is one line and status 2', async () => {
    const { status, stderr } = await orderSaga([], { MELANGE_BACKEND: 'pigeon' });
    expect(status).toBe(2);
    expect(stderr).toMatch(/^order-saga: MELANGE_BACKEND must be one of .*"pigeon"\n$/);
  });
});

describe('progress', () => {
  test('is a line for each tenth where the output is piped, and has no control characters', async () => {
    const { stdout } = await orderSaga(['--orders', '50', '--failure-rate', '0']);
    expect(stdout.match(/^\d+ of 50 orders ended$/gm)?.at(-1)).toBe('50 of 50 orders ended');
    expect(stdout.split('\n').filter((line) => line.endsWith('orders ended')).length).toBeLessThanOrEqual(10);
    expect(stdout).not.toContain('\u001b');
  });

  describe.skipIf(!hasTerminal)('on a terminal (skipped without script of util-linux)', () => {
    async function onTerminal(env: NodeJS.ProcessEnv, columns = 100): Promise<string> {
      const { CI: _ci, ...inherited } = process.env;
      const line = [
        `stty cols ${columns};`,
        process.execPath,
        '--import',
        'tsx',
        main,
        '--orders',
        '2000',
      ].join(' ');
      const { stdout } = await run('script', ['-qec', line, '/dev/null'], { env: { ...inherited, ...env } });
      expect(figures(stdout)).toMatchObject({ 'orders placed': 2_000, lost: 0 });
      return stdout;
    }

    test('is a spinner', async () => {
      const shown = await onTerminal({ TERM: 'xterm' });
      expect(shown).toMatch(/\d+ placed, \d+ of 2000 ended/);
      expect(shown).not.toContain('orders ended');
    });

    test.each([
      ['cannot draw', 'dumb', 100],
      ['has no width', 'xterm', 0],
    ])('that %s, it is lines', async (_, TERM, columns) => {
      const shown = await onTerminal({ TERM }, columns);
      expect(shown).toContain('2000 of 2000 orders ended');
      expect(shown).not.toContain('\u001b');
    });
  });
});

describe('what cannot run', () => {
  test.each([
    ['--orders', 'many'],
    ['--orders', '0'],
    ['--failure-rate', '1.5'],
    ['--backend', 'pigeon'],
    ['--service', 'orders'],
    ['--service', 'saga', '--backend', 'rabbitmq'],
    ['--run-id', 'a b'],
    ['--nonsense'],
  ])('%s %s: the error is one line that names what is wrong', (...parameters) => {
    const given = parameters.filter((parameter) => parameter !== undefined);
    const flag = (given[0] as string).split(' ')[0] as string;
    const message = expect.stringMatching(new RegExp(`^.*${flag}.*$`));
    expect(() => readArguments(given)).toThrow(expect.objectContaining({ name: 'UsageError', message }));
  });

  test('a bad flag is one line and status 2', async () => {
    const { status, stdout, stderr } = await orderSaga(['--nonsense']);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^order-saga: .*--nonsense.*\n$/);
  });

  test.each([
    ['rabbitmq', 'RABBITMQ_URL', 'amqp://user:secret@127.0.0.1:1'],
    ['redis-streams', 'REDIS_URL', 'redis://:secret@127.0.0.1:1'],
    ['kafka', 'KAFKA_URL', 'kafka://127.0.0.1:1'],
    ['nats', 'NATS_URL', 'nats://user:secret@127.0.0.1:1'],
    ['postgres', 'POSTGRES_URL', 'postgres://user:secret@127.0.0.1:1'],
    ['sqs', 'SQS_URL', 'http://user:secret@127.0.0.1:1'],
  ])(
    '%s: a broker that does not answer is one line without credentials and status 2',
    async (backend, variable, url) => {
      const { status, stderr } = await orderSaga(['--backend', backend], { [variable]: url });
      expect(status).toBe(2);
      expect(stderr).toMatch(new RegExp(`^order-saga: .*${variable}.*\n$`));
      expect(stderr).not.toContain('secret');
    },
  );
});
