/** What travels through the fleet; each step is a message of its own. */
abstract class OrderMessage {
  readonly orderId: string;
  constructor(orderId: string) {
    this.orderId = orderId;
  }
}

export class PlaceOrder extends OrderMessage {}
export class PayOrder extends OrderMessage {}
export class ShipOrder extends OrderMessage {}
