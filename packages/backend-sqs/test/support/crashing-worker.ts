import { appendFileSync } from 'node:fs';
import { SerializerRegistry, SimpleMessageDispatcher, silentLogger } from '@melange/core';
import { JsonSerializer } from '../../../serializer-json/src/index.ts';
import { connect } from './broker.ts';

/** Processes a queue, one message of which ends it. Parameters: url, queue, file for what was processed, that message. */
const [url = '', queue = '', file = '', killer = ''] = process.argv.slice(2);

const consumer = {
  name: 'worker',
  accepts: () => true,
  async process(value: unknown): Promise<void> {
    if (String(value) === killer) process.kill(process.pid, 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 5));
    appendFileSync(file, `${value}\n`);
  },
};

const backend = connect(url, { visibilityTimeoutSeconds: 2 });
const serializers = new SerializerRegistry({ serializers: { json: new JsonSerializer() }, default: 'json' });
const dispatcher = new SimpleMessageDispatcher(consumer, { backend, serializers, logger: silentLogger });
await dispatcher.consumeLoop(queue, { signal: new AbortController().signal });
