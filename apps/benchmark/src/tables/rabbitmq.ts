import { rabbitMqStage } from '../stages/rabbitmq.ts';
import type { Table } from '../table.ts';

export const rabbitMqConsume: Table = {
  name: 'rabbitmq-consume',
  title: 'RabbitMQ: consume',
  about:
    'Persistent messages of a durable quorum queue, prefetch 100. Melange: `concurrency: 100`, all else default.',
  broker: 'rabbitmq',
  messages: 100_000,
  warmUp: 20_000,
  inFlight: 100,
  contenders: [
    { name: 'amqplib', file: 'rabbitmq-consume-naive' },
    { name: 'amqplib, batched by hand', file: 'rabbitmq-consume-batched' },
    { name: 'Melange', file: 'rabbitmq-consume-melange' },
  ],
  goals: [
    { contender: 'Melange', figure: 'rate', bound: 'at least', value: 1.3 },
    { contender: 'Melange', figure: 'cpu', bound: 'at most', value: 0.95 },
  ],
  libraries: ['amqplib'],
  stage: (address) => rabbitMqStage(address),
};

export const rabbitMqPublish: Table = {
  name: 'rabbitmq-publish',
  title: 'RabbitMQ: publish with confirms',
  about:
    'Persistent messages to a durable quorum queue, 100 in flight, each waited for until the broker confirmed it. Melange: `QueuePublisher.publish`, all default.',
  broker: 'rabbitmq',
  messages: 50_000,
  warmUp: 20_000,
  inFlight: 100,
  contenders: [
    { name: 'amqplib', file: 'rabbitmq-publish-naive' },
    { name: 'amqplib, batched by hand', file: 'rabbitmq-publish-batched' },
    { name: 'Melange', file: 'rabbitmq-publish-melange' },
  ],
  goals: [
    { contender: 'Melange', figure: 'rate', bound: 'at least', value: 0.97 },
    { contender: 'Melange', figure: 'cpu', bound: 'at most', value: 1.15 },
  ],
  libraries: ['amqplib'],
  stage: (address) => rabbitMqStage(address, { isEmpty: true }),
};
