import { appendFileSync } from 'node:fs';
import { type Delivery, silentLogger } from '@melange/core';
import { KafkaBackend } from '../../src/index.ts';

/** Says what it starts and what is taken from it, and finishes the even ones. Parameters: url, queue, file. */
const [url = '', queue = '', file = ''] = process.argv.slice(2);

async function run(delivery: Delivery): Promise<void> {
  const { content } = delivery.message;
  appendFileSync(file, `start ${content}\n`);
  delivery.signal.addEventListener('abort', () => appendFileSync(file, `abort ${content}\n`));
  if (Number(content) % 2 === 1) return;
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  await delivery.acknowledge();
}

const backend = new KafkaBackend({
  brokers: [url],
  sessionTimeoutMs: 6_000,
  heartbeatIntervalMs: 200,
  revocationDeadlineMs: 3_000,
  logger: silentLogger,
});
await backend.subscribe(queue, { maxInFlight: 4 }, (delivery) => void run(delivery));
