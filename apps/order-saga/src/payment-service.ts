import { type ConsumeContext, consumer, Reject, SingleDispatchConsumer } from '@melange/core';
import type { Ledger } from './ledger.ts';
import { DoPayment, PaymentDone } from './messages.ts';
import type { Send } from './service.ts';

/** Amount of an order that can never be paid: the poison of this example. */
export const unpayableAmount = -1;

/** Takes the money, though not at the first try each time. */
export class PaymentService extends SingleDispatchConsumer {
  readonly #send: Send;
  readonly #ledger: Ledger;
  readonly #failureRate: number;
  /** What the bank remembers: asked again for an order that it has the money of, it does not take it twice. */
  readonly #charged = new Set<string>();

  /** @param failureRate share of the payments that fail and are tried again, 0 to 1. */
  constructor(send: Send, ledger: Ledger, failureRate: number) {
    super('payment-service');
    this.#send = send;
    this.#ledger = ledger;
    this.#failureRate = failureRate;
  }

  @consumer(DoPayment)
  async pay({ orderId, amount }: DoPayment, context: ConsumeContext): Promise<void> {
    if (amount === unpayableAmount) throw new Reject(`Order ${orderId} can never be paid`);
    if (!this.#charged.has(orderId)) this.#charge(orderId);
    // If this fails, the message comes again and the handler runs from its beginning.
    await this.#send('saga', new PaymentDone(orderId), context);
  }

  #charge(orderId: string): void {
    if (Math.random() < this.#failureRate) throw new Error(`The bank declined order ${orderId}`);
    this.#charged.add(orderId);
    this.#ledger.charged(orderId);
  }
}
