import { PostgresBackend } from '../../src/index.ts';

/** Publishes one message after the other to a queue in a folder, and says the id of each that is confirmed. Holds five unsettled. */
const [directory = '', queue = ''] = process.argv.slice(2);
const backend = new PostgresBackend({ directory, leaseMs: 1_000 });
await backend.declareQueue(queue, {});
await backend.subscribe(queue, { maxInFlight: 5 }, () => undefined);
for (let number = 0; ; number += 1) {
  const id = `message-${number}`;
  const absent = { manifest: undefined, serializerId: undefined, key: undefined, publishedAt: undefined };
  await backend.publishToQueue(queue, [{ id, content: id, headers: {}, ...absent }]);
  process.stdout.write(`${id}\n`);
}
