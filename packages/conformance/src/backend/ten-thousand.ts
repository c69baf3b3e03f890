import assert from 'node:assert/strict';
import { pause } from '../behaviour.ts';
import { type BackendContext, type message, numbered } from './backend-context.ts';

/** Longer than any reconnect, shorter than a hang. */
export const publishing = { deadlineMs: 15_000 } as const;

/** Cuts, torn frames and, where it can be had, a restart, while messages flow both ways. */
export async function tenThousand(context: BackendContext): Promise<void> {
  const queue = await context.queue();
  const producer = await context.throughProxy();
  const consumer = await context.throughProxy();
  const sent = numbered(10_000);
  const byId = new Map(sent.map((one) => [one.id, one]));
  const receiver = await context.receive(
    queue,
    { maxInFlight: 200, handle: (delivery) => delivery.acknowledge() },
    consumer.backend,
  );
  const disturbances: readonly (() => unknown)[] = [
    () => producer.proxy.cut(),
    () => consumer.proxy.cut(),
    () => {
      for (const { proxy } of [producer, consumer]) proxy.resetAfter(500);
    },
    () => context.faults?.restart?.(),
    () => {
      for (const { proxy } of [producer, consumer]) proxy.cut();
    },
    () => consumer.proxy.resetAfter(50),
    () => producer.proxy.cut(),
  ];
  let restart: Promise<void> | undefined;
  try {
    for (let index = 0; index < sent.length; index += 50) {
      if (index % 1_250 === 600) {
        const happening = disturbances[Math.floor(index / 1_250)]?.();
        if (happening instanceof Promise) restart = happening;
      }
      await Promise.all(
        sent.slice(index, index + 50).map((one) => publishUntilSafe(producer.backend, queue, one)),
      );
    }
  } finally {
    // Publishing may have failed meanwhile: the next behaviour needs the broker too.
    await restart;
  }
  const seen = () => new Set(receiver.ids);
  const end = performance.now() + 60_000;
  while (seen().size < sent.length && performance.now() < end) await pause(50);
  assert.equal(seen().size, sent.length, 'every message came');
  // Counted last: a fast broker has taken everything before the consumer is back.
  const connections = producer.proxy.connectionsMade + consumer.proxy.connectionsMade;
  assert.ok(connections >= 7, `every cut was followed by a new connection: ${connections}`);
  for (const { message: received } of receiver.deliveries) {
    assert.equal(received.content, byId.get(received.id)?.content, 'an id always has its own content');
  }
}

/** What an application does whose publish was rejected: once more, with the same id. */
async function publishUntilSafe(
  backend: BackendContext['backend'],
  queue: string,
  one: ReturnType<typeof message>,
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await backend.publishToQueue(queue, [one], publishing);
      return;
    } catch (error) {
      if (attempt === 5) throw error;
    }
  }
}
