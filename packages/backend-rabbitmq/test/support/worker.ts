import { appendFileSync } from 'node:fs';
import { SerializerRegistry, SimpleMessageDispatcher, silentLogger } from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { RabbitMqBackend } from '../../src/index.ts';

// Usage: worker.ts <url> <queue> <file> [<n>]. Writes each message that it has processed as a line of the file, before
// the message can be acknowledged. Drains at SIGTERM. The message of that number ends its process.
const [url, queue, file, killer] = process.argv.slice(2) as [string, string, string, string?];

const backend = new RabbitMqBackend({ url, logger: silentLogger });
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());

const recorder = {
  name: 'recorder',
  accepts: () => true,
  process: async (message: unknown) => {
    await new Promise((resolve) => setImmediate(resolve));
    if (String((message as { n: number }).n) === killer) process.kill(process.pid, 'SIGKILL');
    appendFileSync(file, `${(message as { n: number }).n}\n`);
  },
};
const dispatcher = new SimpleMessageDispatcher(recorder, {
  backend,
  serializers: new SerializerRegistry({ serializers: { json: new JsonSerializer() }, default: 'json' }),
  concurrency: 50,
  maxRedeliveries: 8,
});
await dispatcher.consumeLoop(queue, { signal: stop.signal });
await backend.close();
