import { appendFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fixedDelays, SerializerRegistry, SimpleMessageDispatcher, silentLogger } from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { KafkaBackend } from '../../src/index.ts';

/** Processes a queue, one message of which ends it. Parameters: url, queue, file for what was processed, that message. */
const [url = '', queue = '', file = '', killer = ''] = process.argv.slice(2);

const backend = new KafkaBackend({
  brokers: [url],
  // The shortest that the broker takes: for so long it waits for a process that ended.
  sessionTimeoutMs: 6_000,
  heartbeatIntervalMs: 200,
  revocationDeadlineMs: 3_000,
  commitIntervalMs: 50,
  logger: silentLogger,
});
const consumer = {
  name: 'billing',
  accepts: () => true,
  async process(value: unknown): Promise<void> {
    await delay(2);
    if (String(value) === killer) process.kill(process.pid, 'SIGKILL');
    appendFileSync(file, `${value}\n`);
  },
};
const dispatcher = new SimpleMessageDispatcher(consumer, {
  backend,
  serializers: new SerializerRegistry({ serializers: { json: new JsonSerializer() }, default: 'json' }),
  concurrency: 10,
  retry: fixedDelays([50, 50, 50]),
  // The default of 20 would take some minutes.
  maxRedeliveries: 4,
  logger: silentLogger,
});
// The test was killed, and cannot end its worker any more.
process.once('disconnect', () => process.exit());
void dispatcher.consumeLoop(queue);
