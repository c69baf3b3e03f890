/** Everything that the services say to each other. */
export class PlaceOrder {
  readonly orderId: string;
  readonly amount: number;
  constructor(orderId: string, amount: number) {
    this.orderId = orderId;
    this.amount = amount;
  }
}

/** The order service has taken the order. */
export class OrderResponse {
  readonly orderId: string;
  readonly amount: number;
  constructor(orderId: string, amount: number) {
    this.orderId = orderId;
    this.amount = amount;
  }
}

/** The saga asks for the money. */
export class DoPayment {
  readonly orderId: string;
  readonly amount: number;
  constructor(orderId: string, amount: number) {
    this.orderId = orderId;
    this.amount = amount;
  }
}

/** The payment service has it. */
export class PaymentDone {
  readonly orderId: string;
  constructor(orderId: string) {
    this.orderId = orderId;
  }
}

/** The saga tells the order service how it ended. */
export class OrderStatus {
  readonly orderId: string;
  readonly status: 'completed';
  constructor(orderId: string, status: 'completed') {
    this.orderId = orderId;
    this.status = status;
  }
}

/** The message types, for the serializer. */
export const messageTypes: readonly [
  typeof PlaceOrder,
  typeof OrderResponse,
  typeof DoPayment,
  typeof PaymentDone,
  typeof OrderStatus,
] = [PlaceOrder, OrderResponse, DoPayment, PaymentDone, OrderStatus];
