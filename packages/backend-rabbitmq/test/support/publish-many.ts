import { silentLogger } from '@melange/core';
import { RabbitMqBackend } from '../../src/index.ts';

// Usage: publish-many.ts <url> <queue> <count>. Publishes so many messages by a call each, all in one turn.
const [url, queue, count] = process.argv.slice(2) as [string, string, string];

const backend = new RabbitMqBackend({ url, logger: silentLogger });
let confirmed = 0;
const publishing: Promise<void>[] = [];
for (let n = 0; n < Number(count); n += 1) {
  const message = {
    id: `m-${n}`,
    content: `${n}`,
    manifest: 'Note',
    serializerId: 1,
    key: undefined,
    headers: {},
    publishedAt: n,
  };
  const call = backend.publishToQueue(queue, [message], { deadlineMs: 280_000 });
  publishing.push(
    call.then(() => {
      confirmed += 1;
    }),
  );
}
await Promise.all(publishing);
await backend.close();
process.stdout.write(`confirmed ${confirmed}\n`);
