import { randomUUID } from 'node:crypto';
import { KafkaBackend } from '@melange/backend-kafka';
import {
  DeadLetterHeader,
  fixedDelays,
  QueuePublisher,
  Reject,
  SerializerRegistry,
  SimpleMessageDispatcher,
  SingleDispatchConsumer,
  silentLogger,
} from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';

class Transfer {
  readonly account: string;
  readonly cents: number;
  constructor(account: string, cents: number) {
    this.account = account;
    this.cents = cents;
  }
}

const { KAFKA_URL = 'kafka://127.0.0.1:9092' } = process.env;
// Failures are what this example is about: without `silentLogger` they would be on standard error, too.
const logger = silentLogger;
const backend = new KafkaBackend({ brokers: [KAFKA_URL], partitions: 3, logger });
const json = new JsonSerializer([Transfer]);
const serializers = new SerializerRegistry({ serializers: { json }, default: 'json' });

// A queue is a topic and the consumer group of the same name. Names of this run's own, so that it can be repeated.
const run = randomUUID();
const [queue, deadLetterQueue] = [`transfers-${run}`, `transfers-dead-${run}`];
await backend.declareQueue(queue, { deadLetterQueue });

const publisher = new QueuePublisher({ backend, serializers });
const transfers = [
  new Transfer('alice', 100),
  new Transfer('bob', 10),
  new Transfer('alice', -50), // nobody can process it
  new Transfer('bob', 20),
  new Transfer('alice', 200),
];
await publisher.publishBatch(
  queue,
  transfers.map((value) => ({ value, key: value.account })),
);

// Bob's first transfer fails once. With `ordering: 'key'` his second one waits for it; Alice's do not.
const lines: Record<string, string[]> = { alice: [], bob: [] };
let failuresLeft = 1;
const ledger = new SingleDispatchConsumer('ledger').on(Transfer, ({ account, cents }, { attempt }) => {
  if (cents < 0) throw new Reject('a transfer below zero');
  if (account === 'bob' && failuresLeft-- > 0) throw new Error('the database is busy');
  lines[account]?.push(`${cents} (attempt ${attempt})`);
});
const stop = new AbortController();
const dispatcher = new SimpleMessageDispatcher(ledger, {
  backend,
  serializers,
  logger,
  ordering: 'key',
  retry: fixedDelays([50, 100]),
});
await dispatcher.consumeLoop(queue, {
  signal: stop.signal,
  afterConsume: () => {
    const { acknowledged, deadLettered } = dispatcher.counters;
    if (acknowledged + deadLettered === transfers.length) stop.abort();
  },
});
for (const [account, done] of Object.entries(lines)) console.log(`${account}: ${done.join(', ')}`);

// The dead-letter topic has the rejected one as it came, and why.
const dead = await backend.subscribe(deadLetterQueue, { maxInFlight: 1, untilEmpty: true }, (delivery) => {
  const { content, key, headers } = delivery.message;
  console.log(`dead letter of ${key}: ${content}`);
  console.log(`${headers[DeadLetterHeader.reason]}: ${headers[DeadLetterHeader.errorMessage]}`);
  void delivery.acknowledge();
});
await dead.ended;
await dead.close();

await backend.deleteQueue(queue);
await backend.deleteQueue(deadLetterQueue);
await backend.close();
