import { connect } from 'amqplib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type PrivateRabbitMq, rabbitMqControl, startRabbitMq } from '../src/index.ts';
import { isInstalled } from '../src/processes.ts';
import { brokers } from '../src/table.ts';

const canStart = process.getuid?.() === 0 || (await isInstalled('rabbitmq-server'));
const answers = (url: string): Promise<boolean> | undefined => brokers.get('rabbitmq')?.answers(url);

describe.skipIf(!canStart)(
  'a RabbitMQ of its own (skipped without rabbitmq-server and the right to install it)',
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

    test('is nobody else’s to restart', async () => {
      expect(await rabbitMqControl(node.url)).toBeNull();
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

  test.skipIf(process.env.MELANGE_RABBITMQ_NODE === undefined)(
    'can be restarted if it is ours (skipped if it is not)',
    async () => {
      const url = process.env.RABBITMQ_URL as string;
      const control = await rabbitMqControl(url);
      expect(control?.node).toBe(process.env.MELANGE_RABBITMQ_NODE);
      expect(await rabbitMqControl('amqp://127.0.0.1:1')).toBeNull();
    },
  );
});
