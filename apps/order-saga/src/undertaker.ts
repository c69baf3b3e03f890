import { type AnyService, defineService } from '@melange/service';
import { messageTypes } from './messages.ts';
import { deadLetterQueueOf, type QueueNames, type Setting, sharing } from './service.ts';

/** Reads the dead-letter queues: the poison ends at the payments, anything may end at the others. */
export function undertaker({ backends, queues, ledger }: Setting): AnyService {
  const deadLetterQueues: Record<string, { readonly backend: keyof QueueNames }> = {
    [deadLetterQueueOf(queues.orders)]: { backend: 'orders' },
    [deadLetterQueueOf(queues.payments)]: { backend: 'payments' },
    [deadLetterQueueOf(queues.saga)]: { backend: 'saga' },
  };
  const service = defineService({
    ...sharing(backends),
    name: 'undertaker',
    messages: messageTypes,
    queues: deadLetterQueues,
  });
  for (const queue of Object.keys(deadLetterQueues)) {
    for (const type of messageTypes) service.on(queue, type, ({ orderId }) => ledger.deadLettered(orderId));
  }
  return service;
}
