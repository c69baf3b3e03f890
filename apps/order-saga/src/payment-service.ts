import { Reject } from '@melange/core';
import { type AnyService, defineService } from '@melange/service';
import { DoPayment, PaymentDone } from './messages.ts';
import { declarationOf, following, type Setting } from './service.ts';

/** Amount of an order that can never be paid: the poison of this example. */
export const unpayableAmount = -1;

/** Takes the money, though not at the first try each time. */
export function paymentService(setting: Setting): AnyService {
  const { queues, ledger, failureRate } = setting;

  function charge(orderId: string): void {
    if (Math.random() < failureRate) throw new Error(`The bank declined order ${orderId}`);
    ledger.charged(orderId);
  }

  return defineService({
    ...declarationOf('payments', setting),
    name: 'payment-service',
    messages: [DoPayment, PaymentDone],
    sends: { [queues.saga]: { messages: [PaymentDone], backend: 'saga' } },
  }).on(queues.payments, DoPayment, async ({ orderId, amount }, context) => {
    if (amount === unpayableAmount) throw new Reject(`Order ${orderId} can never be paid`);
    // The bank remembers: asked again for an order that it has the money of, it does not take it twice.
    if (!ledger.isCharged(orderId)) charge(orderId);
    // If this fails, the message comes again and the handler runs from its beginning.
    const done = new PaymentDone(orderId);
    await context.send(queues.saga, done, following(context, done));
  });
}
