import { randomUUID } from 'node:crypto';
import {
  type MessageDispatcher,
  MessagingBackendFactory,
  QueuePublisher,
  SerializerRegistry,
  SimpleMessageDispatcher,
  SingleDispatchConsumer,
  silentLogger,
} from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import type { RunOptions } from './arguments.ts';
import { Ledger } from './ledger.ts';
import { DoPayment, messageTypes, PlaceOrder } from './messages.ts';
import { OrderService } from './order-service.ts';
import { PaymentService, unpayableAmount } from './payment-service.ts';
import type { RunReport } from './report.ts';
import { OrderSaga } from './saga.ts';
import {
  type Backends,
  deadLetterQueueOf,
  type QueueNames,
  queueNames,
  sender,
  startService,
} from './service.ts';

/** One order in a hundred can never be paid. */
const poisonEvery = 100;
const publishedAtOnce = 100;
const lookEveryMs = 20;

const services = ['orders', 'payments', 'saga'] as const;

const serializers: SerializerRegistry = new SerializerRegistry({
  serializers: { json: new JsonSerializer(messageTypes) },
  default: 'json',
});

/**
 * Places the orders and follows each to its end. The three services run in this process, or the order service
 * alone where the others run in theirs.
 */
export async function runSystem(
  options: RunOptions,
  backends: Backends,
  onProgress: (ended: number, placed: number) => void,
): Promise<RunReport> {
  const names = queueNames(options.runId ?? `order-saga-${randomUUID().slice(0, 8)}`);
  const ledger = new Ledger();
  const dispatchers: MessageDispatcher[] = [];
  const begun = performance.now();
  try {
    await declareAll(backends, names);
    for (const service of options.service === undefined ? services : [options.service]) {
      dispatchers.push(start(service, options, backends, names, ledger));
    }
    dispatchers.push(followDeadLetters(backends, names, ledger));
    await placeOrders(options.orders, backends, names, ledger, onProgress);
    await ended(options, ledger, onProgress);
    const seconds = (performance.now() - begun) / 1_000;
    const sum = (key: 'retried' | 'duplicates') =>
      dispatchers.reduce((total, { counters }) => total + counters[key], 0);
    return { ...ledger.summary(), retried: sum('retried'), duplicates: sum('duplicates'), seconds };
  } finally {
    await Promise.all(dispatchers.map((dispatcher) => dispatcher.close({ deadlineMs: 5_000 })));
    // Where other processes serve this run, its queues are in use and stay.
    if (options.service === undefined) await deleteAll(backends, names);
  }
}

/** Runs one service until it is told to stop; resolves when it has drained. */
export async function runService(
  service: 'payments' | 'saga',
  options: RunOptions,
  backends: Backends,
  stopped: Promise<void>,
): Promise<MessageDispatcher['counters']> {
  const names = queueNames(options.runId ?? '');
  await declareAll(backends, names);
  const dispatcher = start(service, options, backends, names, new Ledger());
  await stopped;
  await dispatcher.close({ deadlineMs: 10_000 });
  return dispatcher.counters;
}

async function declareAll(backends: Backends, names: QueueNames): Promise<void> {
  for (const service of services) {
    const factory = new MessagingBackendFactory(backends[service]);
    await factory.initQueue(names[service], { deadLetterQueue: deadLetterQueueOf(names[service]) });
  }
}

async function deleteAll(backends: Backends, names: QueueNames): Promise<void> {
  for (const service of services) {
    await backends[service].deleteQueue(names[service]);
    await backends[service].deleteQueue(deadLetterQueueOf(names[service]));
  }
}

function start(
  service: keyof QueueNames,
  options: RunOptions,
  backends: Backends,
  names: QueueNames,
  ledger: Ledger,
): MessageDispatcher {
  const send = sender(backends, names, serializers);
  const consumers = {
    orders: () => new OrderService(send, ledger),
    payments: () => new PaymentService(send, ledger, options.failureRate),
    saga: () => new OrderSaga(send),
  };
  return startService(consumers[service](), names[service], backends[service], serializers);
}

/** Reads the dead-letter queue of the payments, where the poison ends. */
function followDeadLetters(backends: Backends, names: QueueNames, ledger: Ledger): MessageDispatcher {
  const undertaker = new SingleDispatchConsumer('undertaker').on(DoPayment, ({ orderId }) =>
    ledger.deadLettered(orderId),
  );
  const dispatcher = new SimpleMessageDispatcher(undertaker, {
    backend: backends.payments,
    serializers,
    logger: silentLogger,
  });
  dispatcher.consumeLoop(deadLetterQueueOf(names.payments)).catch(() => undefined);
  return dispatcher;
}

async function placeOrders(
  orders: number,
  backends: Backends,
  names: QueueNames,
  ledger: Ledger,
  onProgress: (ended: number, placed: number) => void,
): Promise<void> {
  const publisher = new QueuePublisher({ backend: backends.orders, serializers });
  for (let first = 0; first < orders; first += publishedAtOnce) {
    const count = Math.min(publishedAtOnce, orders - first);
    await Promise.all(
      Array.from({ length: count }, async (_, index) => {
        const number = first + index + 1;
        const orderId = `order-${number}`;
        const amount = number % poisonEvery === 0 ? unpayableAmount : 10 + (number % 90);
        ledger.placed(orderId);
        await publisher.publish(names.orders, new PlaceOrder(orderId, amount));
      }),
    );
    onProgress(ledger.ended, first + count);
  }
}

/** Resolves when every order has ended, or nothing has for too long: the summary then says what is lost. */
async function ended(
  { orders, patienceSeconds }: RunOptions,
  ledger: Ledger,
  onProgress: (ended: number, placed: number) => void,
): Promise<void> {
  let before = -1;
  let lastProgress = performance.now();
  while (ledger.ended < orders) {
    if (ledger.ended !== before) {
      before = ledger.ended;
      lastProgress = performance.now();
      onProgress(before, orders);
    }
    if (performance.now() - lastProgress > patienceSeconds * 1_000) return;
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
  }
  onProgress(ledger.ended, orders);
}
