import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { SqsBackend } from '@melange/backend-sqs';
import {
  QueuePublisher,
  SerializerRegistry,
  SimpleMessageDispatcher,
  SingleDispatchConsumer,
} from '@melange/core';
import { loadProtoFiles, ProtobufSerializer } from '@melange/serializer-protobuf';

/** Bound to the message of the same name in `shop.proto`; `cents` is an int64, hence a bigint. */
class OrderEvent {
  static readonly manifest = 'shop.v1.OrderEvent';
  readonly orderId: string;
  readonly what: string;
  readonly cents: bigint;
  constructor(orderId: string, what: string, cents: bigint) {
    this.orderId = orderId;
    this.what = what;
    this.cents = cents;
  }
}

const types = await loadProtoFiles(fileURLToPath(new URL('../protos/shop.proto', import.meta.url)));
const protobuf = new ProtobufSerializer({ types, classes: [OrderEvent] });
const serializers = new SerializerRegistry({ serializers: { protobuf }, default: 'protobuf' });

// The emulator takes any credentials. At AWS leave `client` out: the SDK finds region and credentials by itself.
const { SQS_URL: endpoint = 'http://127.0.0.1:4566' } = process.env;
const credentials = { accessKeyId: 'any', secretAccessKey: 'any' };
const backend = new SqsBackend({ client: { endpoint, region: 'us-east-1', credentials } });

// Names of this run's own. A queue that ends in `.fifo` is one.
const run = randomUUID();
const [queue, deadLetterQueue] = [`orders-${run}.fifo`, `orders-dead-${run}.fifo`];
await backend.declareQueue(queue, { deadLetterQueue });

const publisher = new QueuePublisher({ backend, serializers });
for (const [what, cents] of [
  ['placed', 2_500n],
  ['paid', 2_500n],
  ['refunded', -2_500n],
] as const) {
  for (const orderId of ['order-1', 'order-2']) {
    await publisher.publish(queue, new OrderEvent(orderId, what, cents), { key: orderId });
  }
}

// Both orders are worked on at once, the events of each in order.
const balance = new Map<string, bigint>();
const history = new Map<string, string>();
const ledger = new SingleDispatchConsumer('ledger').on(OrderEvent, ({ orderId, what, cents }) => {
  balance.set(orderId, (balance.get(orderId) ?? 0n) + cents);
  history.set(orderId, `${history.get(orderId) ?? ''} ${what}`);
});
const dispatcher = new SimpleMessageDispatcher(ledger, { backend, serializers, ordering: 'key' });
await dispatcher.consumeEvent(queue);
for (const orderId of ['order-1', 'order-2']) {
  console.log(`${orderId}:${history.get(orderId)}, balance ${balance.get(orderId)}`);
}

await backend.deleteQueue(queue);
await backend.deleteQueue(deadLetterQueue);
await backend.close();
