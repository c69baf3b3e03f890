import { appendFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { SerializerRegistry, SimpleMessageDispatcher, silentLogger } from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { connect } from './broker.ts';

/**
 * Processes a queue, one message of which ends it. Parameters: url, queue, file for what was processed, that message,
 * `maxRedeliveries`.
 */
const [url = '', queue = '', file = '', killer = '', maxRedeliveries = ''] = process.argv.slice(2);

const consumer = {
  name: 'worker',
  accepts: () => true,
  async process(value: unknown): Promise<void> {
    await delay(5);
    if (String(value) === killer) process.kill(process.pid, 'SIGKILL');
    appendFileSync(file, `${value}\n`);
  },
};

const backend = connect(url, { visibilityTimeoutSeconds: 2, waitTimeSeconds: 1 });
const serializers = new SerializerRegistry({ serializers: { json: new JsonSerializer() }, default: 'json' });
const dispatcher = new SimpleMessageDispatcher(consumer, {
  backend,
  serializers,
  concurrency: 4,
  maxRedeliveries: Number(maxRedeliveries),
  logger: silentLogger,
});
// The test was killed, and cannot end its worker any more.
process.once('disconnect', () => process.exit());
void dispatcher.consumeLoop(queue);
