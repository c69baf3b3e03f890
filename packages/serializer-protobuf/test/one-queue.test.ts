import { randomUUID } from 'node:crypto';
import { inspect } from 'node:util';
import { KafkaBackend } from '@melange/backend-kafka';
import { MemoryBackend } from '@melange/backend-memory';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { RedisStreamsBackend } from '@melange/backend-redis-streams';
import { SqsBackend } from '@melange/backend-sqs';
import {
  type ConsumeContext,
  defineMessage,
  type Logger,
  MessageDispatcher,
  type MessagingBackend,
  QueuePublisher,
  SerializerRegistry,
  SingleDispatchConsumer,
  silentLogger,
} from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { descriptorTypes, ProtobufSerializer } from '../src/index.ts';
import { descriptor, line, OrderPlaced } from './shop.ts';

class OrderCancelled extends defineMessage(
  'shop.v1.OrderCancelled',
  z.object({ orderId: z.string(), reason: z.string() }),
) {}

class Note {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

const { KAFKA_URL: kafka, RABBITMQ_URL: rabbitMq, REDIS_URL: redis, SQS_URL: sqs } = process.env;
// Emulators take any.
const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };

const backends: Readonly<Record<string, ((logger: Logger) => MessagingBackend) | undefined>> = {
  memory: () => new MemoryBackend(),
  kafka: kafka === undefined ? undefined : (logger) => new KafkaBackend({ brokers: [kafka], logger }),
  rabbitmq: rabbitMq === undefined ? undefined : (logger) => new RabbitMqBackend({ url: rabbitMq, logger }),
  'redis-streams':
    redis === undefined ? undefined : (logger) => new RedisStreamsBackend({ url: redis, logger }),
  sqs:
    sqs === undefined
      ? undefined
      : (logger) => new SqsBackend({ client: { endpoint: sqs, region: 'us-east-1', credentials }, logger }),
};

/** As another service of the fleet has it: what one publishes in protobuf, the other one publishes in JSON. */
function registry(cancellations: 'json' | 'protobuf'): SerializerRegistry {
  return new SerializerRegistry({
    serializers: {
      json: new JsonSerializer([Note, OrderCancelled]),
      protobuf: new ProtobufSerializer({
        types: descriptorTypes(descriptor),
        classes: [OrderPlaced, OrderCancelled],
      }),
    },
    bindings: [
      [OrderPlaced, 'protobuf'],
      [OrderCancelled, cancellations],
    ],
    default: 'json',
  });
}

describe.each(Object.entries(backends))('JSON and protobuf in one queue of %s', (name, create) => {
  test.skipIf(create === undefined)(
    `reach the same handlers${create === undefined ? ': no broker' : ''}`,
    async () => {
      // What the backend and the dispatcher had to say is told when messages stay away.
      const said: unknown[] = [];
      const keep = (...line: unknown[]): void => void said.push(line);
      const logger = { ...silentLogger, warn: keep, error: keep };
      const backend = create?.(logger) as MessagingBackend;
      const queue = `one-queue-${name}-${randomUUID()}`;
      await backend.declareQueue(queue);
      try {
        const order = new OrderPlaced({
          orderId: 'o-1',
          totalInCents: 2n ** 62n,
          lines: [line],
          signature: Uint8Array.from({ length: 256 }, (_, byte) => byte),
        });
        const cancelled = new OrderCancelled({ orderId: 'o-1', reason: 'late' });
        const [json, protobuf] = [registry('json'), registry('protobuf')];
        await new QueuePublisher({ backend, serializers: protobuf }).publish(queue, order);
        await new QueuePublisher({ backend, serializers: protobuf }).publish(queue, cancelled);
        await new QueuePublisher({ backend, serializers: json }).publish(queue, cancelled);
        await new QueuePublisher({ backend, serializers: json }).publish(queue, new Note('n'));
        // By id: at least once may be twice.
        const seen = new Map<string, object>();
        const keepMessage = (message: object, { messageId }: ConsumeContext): void => {
          seen.set(messageId, message);
        };
        const consumer = new SingleDispatchConsumer('all')
          .on(OrderPlaced, keepMessage)
          .on(OrderCancelled, keepMessage)
          .on(Note, keepMessage);
        const dispatcher = new MessageDispatcher({ backend, serializers: json, logger });
        dispatcher.attachConsumer(consumer);
        const stop = new AbortController();
        const loop = dispatcher.consumeLoop(queue, { signal: stop.signal });
        const arrived = vi.waitFor(
          () => {
            if (seen.size < 4) throw new Error(`${seen.size} of 4 arrived; ${inspect(said)}`);
          },
          { timeout: 20_000 },
        );
        // A loop that ends by itself says why.
        await Promise.race([arrived, loop.then(() => arrived)]);
        stop.abort();
        await loop;
        const ofClass = (type: abstract new (...parameters: never[]) => object) =>
          [...seen.values()].filter((message) => message instanceof type);
        expect(ofClass(OrderPlaced)).toEqual([order]);
        expect(ofClass(OrderCancelled)).toEqual([cancelled, cancelled]);
        expect(ofClass(Note)).toEqual([new Note('n')]);
      } finally {
        await backend.deleteQueue(queue);
        await backend.close();
      }
    },
  );
});
