import { randomUUID } from 'node:crypto';
import type { Envelope, PublishDriver } from '@melange/backend-kit';
import { checkContentBytes, sendEach, toEnvelope, unlessMissing } from '@melange/backend-kit';
import { TopicNotFoundError } from '@melange/core';
import { natsCapabilities } from './capabilities.ts';
import type { NatsClient } from './client.ts';
import { explain } from './errors.ts';
import { bindingsOf, queueSubject } from './topology.ts';
import { delayed, toRecord } from './wire.ts';

/** A message on its way. */
export interface NatsOutgoing extends Envelope {
  readonly manifest: string;
  /** Id of this publish: a message that is published again on purpose, from a dead-letter queue, is stored again. */
  readonly once: string;
}

/** Resolves when the broker has stored all of a batch. A topic's message goes to each queue that is bound to it. */
export function publishing(client: NatsClient): PublishDriver<NatsOutgoing> {
  const store = (queue: string, outgoing: NatsOutgoing, delayMs: number): Promise<void> =>
    client.publish(queueSubject(queue), delayed(outgoing, delayMs), outgoing.once);
  return {
    encode(message) {
      checkContentBytes(message, natsCapabilities.maxMessageBytes);
      return { ...toRecord(toEnvelope(message)), manifest: message.manifest ?? '', once: randomUUID() };
    },
    bytesOf: ({ body }) => Buffer.byteLength(body ?? ''),
    limitsOf: () => ({ maxMessages: 200, maxBytes: 4_000_000 }),
    async send({ kind, name }, batch) {
      if (kind === 'queue') return sendEach(batch, ({ encoded, delayMs }) => store(name, encoded, delayMs));
      const bindings = await bindingsOf(client, name);
      if (bindings.length === 0) throw new TopicNotFoundError(name);
      return sendEach(batch, async ({ encoded }) => {
        const wanting = bindings.filter(
          ({ filter }) => filter === 'all' || filter.includes(encoded.manifest),
        );
        const queues = new Set(wanting.map(({ queue }) => queue));
        // A queue that was deleted meanwhile wants nothing.
        await Promise.all([...queues].map((queue) => unlessMissing(explain, store(queue, encoded, 0))));
      });
    },
  };
}
