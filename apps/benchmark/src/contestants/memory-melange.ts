import { MemoryBackend } from '@melange/backend-memory';
import { QueuePublisher } from '@melange/core';
import type { Contestant } from '../contestant.ts';
import { inFlight } from '../in-flight.ts';
import { consumeOrders, serializersOfOrders } from '../melange.ts';
import { OrderPlaced } from '../order.ts';

/** Publishes and consumes in one process, by single calls; publishers wait while too much is unhandled. */
const contestant: Contestant = async (task, meter) => {
  const { queue, warmUp, messages, inFlight: limit } = task;
  const backend = new MemoryBackend();
  await backend.declareQueue(queue);
  const publisher = new QueuePublisher({ backend, serializers: serializersOfOrders() });
  let unhandled = 0;
  let room: { readonly made: Promise<void>; readonly make: () => void } | undefined;
  const handled = (): void => {
    unhandled -= 1;
    if (room !== undefined && unhandled < limit / 2) {
      room.make();
      room = undefined;
    }
    meter.handled();
  };
  const consuming = consumeOrders(backend, task, { ...meter, handled });
  await inFlight(warmUp + messages, limit, async (index) => {
    unhandled += 1;
    await publisher.publish(queue, new OrderPlaced(index));
    if (unhandled < limit) return;
    if (room === undefined) {
      let make = (): void => undefined;
      const made = new Promise<void>((resolve) => {
        make = resolve;
      });
      room = { made, make };
    }
    await room.made;
  });
  await consuming;
  await backend.close();
};

export default contestant;
