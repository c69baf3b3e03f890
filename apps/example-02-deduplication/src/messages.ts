/** Asks the billing service to charge an order. */
export class ChargeOrder {
  readonly orderId: string;
  readonly cents: number;
  constructor(orderId: string, cents: number) {
    this.orderId = orderId;
    this.cents = cents;
  }
}

/** Tells the shop that an order is charged. */
export class OrderCharged {
  readonly orderId: string;
  constructor(orderId: string) {
    this.orderId = orderId;
  }
}
