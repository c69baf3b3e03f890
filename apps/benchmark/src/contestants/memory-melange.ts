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
  let makeRoom: (() => void) | undefined;
  let room: Promise<void> | undefined;
  const handled = (): void => {
    unhandled -= 1;
    if (unhandled < limit / 2) {
      makeRoom?.();
      makeRoom = undefined;
      room = undefined;
    }
    meter.handled();
  };
  const awaitRoom = (): Promise<void> => {
    room ??= new Promise((resolve) => {
      makeRoom = resolve;
    });
    return room;
  };
  const consuming = consumeOrders(backend, task, { ...meter, handled });
  await inFlight(warmUp + messages, limit, (index) => {
    unhandled += 1;
    const publishing = publisher.publish(queue, new OrderPlaced(index));
    return unhandled < limit ? publishing : publishing.then(awaitRoom);
  });
  await consuming;
  await backend.close();
};

export default contestant;
