import type { DirectPublishDriver } from '@melange/backend-kit';
import type { Broker } from '../client/broker.ts';
import { copied } from '../wire.ts';

/** Puts messages into their queues, in the turn of the call. */
export function publishing(broker: Broker): DirectPublishDriver {
  return {
    put(message, { kind, name }, delayMs) {
      if (kind === 'queue') {
        const queue = broker.queue(name);
        queue.assertRoom();
        queue.put(copied(message), delayMs);
        return;
      }
      // Into all queues of a topic or none: a message that is refused must be one that may be published again.
      const queues = broker.queuesOf(name, message.manifest);
      for (const queue of queues) queue.assertRoom();
      for (const queue of queues) queue.put(copied(message), delayMs);
    },
  };
}
