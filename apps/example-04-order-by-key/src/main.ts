import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { KafkaBackend } from '@melange/backend-kafka';
import { DeadLetterHeader, fixedDelays, Reject, silentLogger } from '@melange/core';
import { defineMessage, defineService } from '@melange/service';
import { z } from 'zod';

class Transfer extends defineMessage('Transfer', z.object({ account: z.string(), cents: z.int() })) {}

const { KAFKA_URL = 'kafka://127.0.0.1:9092' } = process.env;
// Failures are what this example is about: without `silentLogger` they would be on standard error, too.
const logger = silentLogger;
const backend = new KafkaBackend({ brokers: [KAFKA_URL], partitions: 3, logger });
// A queue is a topic and the consumer group of the same name. Names of this run's own, so that it can be repeated.
const run = randomUUID();
const [queue, deadLetterQueue] = [`transfers-${run}`, `transfers-dead-${run}`];

// Bob's first transfer fails once. With `ordering: 'key'` his second one waits for it; Alice's do not.
const lines: Record<string, string[]> = { alice: [], bob: [] };
let failuresLeft = 1;
const ledger = defineService({
  name: 'ledger',
  backend,
  messages: [Transfer],
  queues: { [queue]: { deadLetterQueue, ordering: 'key', retry: fixedDelays([50, 100]) } },
  sends: { [queue]: [Transfer] },
  logger,
  closesResources: false, // the dead letters are read at the end
}).on(queue, Transfer, ({ account, cents }, { attempt }) => {
  if (cents < 0) throw new Reject('a transfer below zero');
  if (account === 'bob' && failuresLeft-- > 0) throw new Error('the database is busy');
  lines[account]?.push(`${cents} (attempt ${attempt})`);
});
await ledger.start();

const transfers = [
  new Transfer({ account: 'alice', cents: 100 }),
  new Transfer({ account: 'bob', cents: 10 }),
  new Transfer({ account: 'alice', cents: -50 }), // nobody can process it
  new Transfer({ account: 'bob', cents: 20 }),
  new Transfer({ account: 'alice', cents: 200 }),
];
await ledger.sendBatch(
  queue,
  transfers.map((value) => ({ value, key: value.account })),
);
const isSettled = () => {
  const { acknowledged = 0, deadLettered = 0 } = ledger.counters()[queue] ?? {};
  return acknowledged + deadLettered === transfers.length;
};
while (!isSettled()) await setTimeout(20);
await ledger.stop();
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
