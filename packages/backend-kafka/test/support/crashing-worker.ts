import { appendFileSync } from 'node:fs';
import { type Delivery, silentLogger } from '@melange/core';
import { KafkaBackend } from '../../src/index.ts';

/** Processes a queue, one message of which ends it. Parameters: url, queue, file for what was processed, that message. */
const [url = '', queue = '', file = '', killer = ''] = process.argv.slice(2);
/** As the dispatcher's `maxRedeliveries`, but small. */
const maxRedeliveries = 4;

async function run(delivery: Delivery): Promise<void> {
  const { redeliveries = 0, message } = delivery;
  if (redeliveries > maxRedeliveries) return delivery.deadLetter({ reason: 'crashed' });
  await new Promise((resolve) => setTimeout(resolve, 5));
  if (message.content === killer) process.kill(process.pid, 'SIGKILL');
  appendFileSync(file, `${message.content}\n`);
  await delivery.acknowledge();
}

const backend = new KafkaBackend({
  brokers: [url],
  sessionTimeoutMs: 6_000,
  heartbeatIntervalMs: 200,
  revocationDeadlineMs: 3_000,
  logger: silentLogger,
});
await backend.subscribe(queue, { maxInFlight: 50 }, (delivery) => void run(delivery));
