import { DeadLetterHeader } from '@melange/core';
import { letter } from './amqp-encoding.ts';
import { elementsOf, type Field, nestedFieldsOf, textOfField } from './field-table.ts';

/** The queues in which retries wait dead-letter all that passes through them. */
const isDelayQueue = /\.delay\.\d+$/;

/**
 * Why, from where and when the broker itself dead-lettered a message that expired, was rejected by another client or
 * found its queue full: what Melange writes when it dead-letters a message. Nothing of messages that were only delayed.
 */
export function deathOf(fields: readonly Field[]): Readonly<Record<string, string>> {
  const deaths = fields.find(({ name, value }) => name === 'x-death' && value[0] === letter.array);
  if (deaths === undefined) return {};
  // The last one comes first.
  for (const death of elementsOf(deaths.value)) {
    if (death[0] !== letter.table) continue;
    const texts = new Map(nestedFieldsOf(death).map(({ name, value }) => [name, textOfField(value)]));
    const [queue, reason, time] = [texts.get('queue'), texts.get('reason'), texts.get('time')];
    if (queue === undefined || reason === undefined || isDelayQueue.test(queue)) continue;
    return {
      [DeadLetterHeader.reason]: reason,
      [DeadLetterHeader.sourceQueue]: queue,
      ...(time !== undefined && { [DeadLetterHeader.deadLetteredAt]: time }),
    };
  }
  return {};
}
