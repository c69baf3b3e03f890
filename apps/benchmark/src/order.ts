/** The message of every benchmark: about 200 bytes of JSON. */
export interface Order {
  readonly orderId: string;
  readonly customerId: string;
  readonly amount: number;
  readonly currency: string;
  readonly placedAt: string;
  readonly items: readonly { readonly sku: string; readonly quantity: number }[];
  /** Nothing, but where the size of the payload is what is measured. */
  readonly note: string;
}

/** The same as a class, which Melange sends with its type. */
export class OrderPlaced implements Order {
  readonly orderId: string;
  readonly customerId = 'customer-4711';
  readonly amount: number;
  readonly currency = 'EUR';
  readonly placedAt = '2026-01-02T03:04:05.678Z';
  readonly items: Order['items'] = [
    { sku: 'sku-0815', quantity: 2 },
    { sku: 'sku-4242', quantity: 1 },
  ];
  readonly note: string;

  constructor(index: number, noteBytes = 0) {
    this.orderId = `order-${index}`;
    this.amount = 10 + (index % 90);
    this.note = 'n'.repeat(noteBytes);
  }
}

/** The handler of every contestant: asynchronous, it looks at the message, and takes its time where that is measured. */
export async function handle(order: Order, milliseconds = 0): Promise<void> {
  if (order.orderId === '' || order.items.length !== 2) throw new Error('not an order');
  if (milliseconds > 0) await new Promise((resolve) => setTimeout(resolve, milliseconds));
}
