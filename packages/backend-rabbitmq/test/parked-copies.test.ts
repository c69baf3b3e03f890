import { expect, test } from 'vitest';
import { arrived, backendFor, inbox, message, noBroker, queueName, url } from './support/scene.ts';

test.skipIf(url === '').each(['quorum', 'classic'] as const)(
  `what is sent back unrun in one turn comes again in its order, to a %s queue${url === '' ? ` (${noBroker})` : ''}`,
  async (type) => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue, { type });
    const ids = Array.from({ length: 200 }, (_, n) => `${n}`);
    await backend.publishToQueue(
      queue,
      ids.map((id) => message(id)),
    );
    const received = inbox();
    await backend.subscribe(queue, { maxInFlight: 200 }, received.receive);
    await arrived(received.deliveries, 200);
    const parked = received.deliveries.slice();
    await Promise.all(parked.map((delivery) => delivery.retry({ delayMs: 1_000, because: 'not-run' })));
    await arrived(received.deliveries, 400);
    const again = received.deliveries.slice(200);
    expect(again.map((delivery) => delivery.message.content)).toEqual(ids);
    expect(new Set(again.map(({ attempt, redeliveries }) => `${attempt} ${redeliveries}`))).toEqual(
      new Set(['1 0']),
    );
    await Promise.all(again.map((delivery) => delivery.acknowledge()));
  },
  30_000,
);
