import { afterAll, describe, expect, test } from 'vitest';
import { command, temporaryFolder } from './support.ts';

const folder = await temporaryFolder();
afterAll(() => folder.remove());

describe('pnpm brokers', () => {
  test('refuses an unknown broker in one line, with exit status 2', async () => {
    const outcome = await command(['up', 'carrier-pigeon'], { folder: folder.path });
    expect(outcome).toEqual({
      status: 2,
      lines: [],
      errors: ['unknown broker carrier-pigeon; known: rabbitmq, redis, sqs, kafka, nats, postgres'],
    });
  });

  test('starts nothing where one of the names is unknown', async () => {
    const outcome = await command(['up', 'rabbitmq', 'carrier-pigeon'], { folder: folder.path });
    expect(outcome).toMatchObject({ status: 2, lines: [] });
  });

  test.each([[[]], [['restart']]])('answers %j with its usage, and exit status 2', async (parameters) => {
    const outcome = await command(parameters, { folder: folder.path });
    expect(outcome).toMatchObject({ status: 2, errors: ['usage: pnpm brokers up|down|status [names]'] });
  });

  test('down without an up stops nothing', async () => {
    const outcome = await command(['down'], { folder: folder.path });
    expect(outcome).toMatchObject({ status: 0, lines: ['nothing to stop: `up` started none of them'] });
  });
});

describe('an address in the environment where nothing answers', () => {
  const env = { RABBITMQ_URL: 'amqp://somebody:secret@127.0.0.1:1' };
  const line =
    'rabbitmq: missing, no rabbitmq answers at the address in RABBITMQ_URL: correct it, or unset it';

  test('is named by its variable, and not replaced by another broker', async () => {
    const outcome = await command(['up', 'rabbitmq'], { folder: folder.path, env });
    expect(outcome).toEqual({ status: 1, lines: [line], errors: [] });
  });

  test('up without names starts every broker in the list, and says so', async () => {
    const nowhere = {
      ...env,
      REDIS_URL: 'redis://127.0.0.1:1',
      SQS_URL: 'http://127.0.0.1:1',
      KAFKA_URL: 'kafka://127.0.0.1:1',
      NATS_URL: 'nats://127.0.0.1:1',
      POSTGRES_URL: 'postgres://127.0.0.1:1',
    };
    const outcome = await command(['up'], { folder: folder.path, env: nowhere });
    expect(outcome).toMatchObject({ status: 1, errors: [] });
    expect(outcome.lines.map((text) => text.replace(/, no .*/, ''))).toEqual([
      'no broker is named, so all of them: rabbitmq, redis, sqs, kafka, nats, postgres',
      ...['rabbitmq', 'redis', 'sqs', 'kafka', 'nats', 'postgres'].map((name) => `${name}: missing`),
    ]);
  });

  test('is a status like another', async () => {
    const outcome = await command(['status', 'rabbitmq'], { folder: folder.path, env });
    expect(outcome).toEqual({ status: 0, lines: [line], errors: [] });
  });
});
