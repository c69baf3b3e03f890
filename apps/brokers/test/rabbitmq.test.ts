import { connect } from 'amqplib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { canStartHere, type PrivateRabbitMq, startRabbitMq } from '../src/index.ts';
import { brokers } from '../src/table.ts';

const answers = (url: string): Promise<boolean> | undefined => brokers.get('rabbitmq')?.answers(url);

describe.skipIf(!canStartHere('rabbitmq'))(
  'a RabbitMQ of its own (skipped where none can be started)',
  () => {
    let node: PrivateRabbitMq;

    beforeAll(async () => {
      node = await startRabbitMq();
    });

    afterAll(() => node.stop());

    test('listens on this machine only, beside the standard port', () => {
      expect(node.url).toMatch(/^amqp:\/\/127\.0\.0\.1:\d+$/);
      expect(node.url).not.toBe(brokers.get('rabbitmq')?.standardUrl);
    });

    test('loses its connections and keeps its durable messages when it restarts', async () => {
      const before = await connect(node.url);
      before.on('error', () => undefined);
      const closed = new Promise<void>((resolve) => before.once('close', () => resolve()));
      const publisher = await before.createConfirmChannel();
      publisher.on('error', () => undefined);
      await publisher.assertQueue('kept', { durable: true });
      publisher.sendToQueue('kept', Buffer.from('still there'), { persistent: true });
      await publisher.waitForConfirms();

      await node.restart();

      await closed;
      const after = await connect(node.url);
      const channel = await after.createChannel();
      const message = await channel.get('kept', { noAck: true });
      expect(message !== false && message.content.toString()).toBe('still there');
      await after.close();
    });

    test('is gone when it is stopped, and may be stopped twice', async () => {
      await node.stop();
      expect(await answers(node.url)).toBe(false);
      await node.stop();
    });
  },
);

describe('the broker of the test run', () => {
  test.skipIf(process.env.RABBITMQ_URL === undefined)(
    'reaches the test files (skipped without one)',
    async () => {
      expect(await answers(process.env.RABBITMQ_URL as string)).toBe(true);
    },
  );
});
