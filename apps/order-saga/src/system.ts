import { randomUUID } from 'node:crypto';
import { type DispatcherCounters, MelangeError, MessagingBackendFactory } from '@melange/core';
import { type AnyService, defineService } from '@melange/service';
import { type RunOptions, UsageError } from './arguments.ts';
import { newJournal, oldJournal } from './journal.ts';
import { Ledger } from './ledger.ts';
import { PlaceOrder } from './messages.ts';
import { orderService } from './order-service.ts';
import { paymentService, unpayableAmount } from './payment-service.ts';
import type { RunReport } from './report.ts';
import { orderSaga } from './saga.ts';
import {
  type Backends,
  deadLetterQueueOf,
  type QueueNames,
  queueNames,
  type Setting,
  sharing,
} from './service.ts';
import { undertaker } from './undertaker.ts';
import { within } from './within.ts';

/** One order in a hundred can never be paid. */
const poisonEvery = 100;
const publishedAtOnce = 100;
const lookEveryMs = 20;
const pauseBeforeRepeatMs = 200;
/** Together with what follows, and the closing of backends, less than five seconds: nobody waits longer for Ctrl-C. */
const handlersEndWithinMs = 2_000;
const cleansUpWithinMs = 500;

const services = ['orders', 'payments', 'saga'] as const;

const make: Readonly<Record<keyof QueueNames, (setting: Setting) => AnyService>> = {
  orders: orderService,
  payments: paymentService,
  saga: orderSaga,
};

/**
 * Places the orders and follows each to its end. The three services run in this process, or the order service
 * alone where the others run in theirs.
 *
 * @param stopped ends the run early, within seconds, whether or not the brokers answer: the orders that have not ended by then are
 * not finished.
 * @throws what made a backend give a queue up.
 */
export async function runSystem(
  options: RunOptions,
  backends: Backends,
  onProgress: (ended: number, placed: number) => void,
  stopped: AbortSignal = new AbortController().signal,
): Promise<RunReport> {
  const journal = journalOf(options);
  const runId = journal?.runId ?? options.runId ?? newRunId();
  const queues = queueNames(runId);
  const ledger = new Ledger(journal);
  const setting = { backends, queues, ledger, failureRate: options.failureRate };
  const here = options.service === undefined ? services : [options.service];
  const running = [...here.map((service) => make[service](setting)), undertaker(setting)];
  const failed = new AbortController();
  for (const service of running) service.ended.catch((error: unknown) => failed.abort(error));
  const signal = AbortSignal.any([stopped, failed.signal]);
  const begun = performance.now();
  try {
    await declareAll(backends, queues);
    await untilAborted(Promise.all(running.map((service) => service.start())), signal);
    await untilAborted(placeOrders({ ...options, runId }, setting, onProgress, signal), signal);
    await ended(options, ledger, onProgress, signal);
    failed.signal.throwIfAborted();
    const seconds = (performance.now() - begun) / 1_000;
    const sum = (key: 'retried' | 'duplicates') =>
      running
        .flatMap((service) => Object.values(service.counters()))
        .reduce((total, counters) => total + counters[key], 0);
    return {
      ...ledger.summary(stopped.aborted),
      retried: sum('retried'),
      duplicates: sum('duplicates'),
      seconds,
    };
  } finally {
    await stopAll(running);
    // Where other processes serve this run, its queues are in use and stay.
    // Those of a run that goes on later stay too.
    const isOver = options.service === undefined && !(stopped.aborted && journal !== undefined);
    const cleaned = isOver ? deleteAll(backends, queues) : Promise.resolve();
    await (stopped.aborted ? within(cleansUpWithinMs, cleaned) : cleaned);
  }
}

/** Of a run that can be killed and resumed: one whose queues outlive it, in this process alone. */
function journalOf({ backends, service, folder, resume, orders, runId = newRunId() }: RunOptions) {
  if (resume) {
    const journal = oldJournal(folder);
    if (journal === undefined)
      throw new UsageError(`--resume finds no run in ${folder}: start one without it`);
    if (journal.orders !== orders)
      throw new UsageError(`--resume goes on with ${journal.orders} orders: add --orders ${journal.orders}`);
    return journal;
  }
  const isDurable = Object.values(backends).every((name) => name === 'postgres');
  return isDurable && service === undefined ? newJournal(folder, runId, orders) : undefined;
}

function newRunId(): string {
  return `order-saga-${randomUUID().slice(0, 8)}`;
}

/**
 * Runs one service until it is told to stop; resolves when it has drained.
 *
 * @throws what made the backend give its queue up.
 */
export async function runService(
  service: 'payments' | 'saga',
  options: RunOptions,
  backends: Backends,
  stopped: AbortSignal,
): Promise<DispatcherCounters | undefined> {
  const queues = queueNames(options.runId ?? '');
  await declareAll(backends, queues);
  const running = make[service]({
    backends,
    queues,
    ledger: new Ledger(),
    failureRate: options.failureRate,
  });
  const failed = new AbortController();
  running.ended.catch((error: unknown) => failed.abort(error));
  const signal = AbortSignal.any([stopped, failed.signal]);
  await untilAborted(running.start(), signal);
  await aborted(signal);
  await stopAll([running]);
  failed.signal.throwIfAborted();
  return running.counters()[queues[service]];
}

async function stopAll(running: readonly AnyService[]): Promise<void> {
  const stopping = running.map((service) => service.stop({ deadlineMs: handlersEndWithinMs }));
  await within(handlersEndWithinMs + cleansUpWithinMs, Promise.all(stopping));
}

/** Of all services, those of other processes too: nobody waits for another one to have begun. */
async function declareAll(backends: Backends, names: QueueNames): Promise<void> {
  for (const service of services) {
    const factory = new MessagingBackendFactory(backends[service]);
    await factory.initQueue(names[service], { deadLetterQueue: deadLetterQueueOf(names[service]) });
  }
}

/** A broker that goes away meanwhile must not hide what became of the orders: the queues then stay. */
async function deleteAll(backends: Backends, names: QueueNames): Promise<void> {
  for (const service of services) {
    for (const queue of [names[service], deadLetterQueueOf(names[service])]) {
      try {
        await backends[service].deleteQueue(queue);
      } catch (error) {
        console.warn(`queue "${queue}" stays: ${error instanceof Error ? error.message : error}`);
      }
    }
  }
}

async function placeOrders(
  options: RunOptions,
  { backends, queues, ledger }: Setting,
  onProgress: (ended: number, placed: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const { orders } = options;
  const customer = defineService({
    ...sharing(backends),
    name: 'customer',
    messages: [PlaceOrder],
    sends: { [queues.orders]: { messages: [PlaceOrder], backend: 'orders' } },
  });
  for (let first = 0; first < orders && !signal.aborted; first += publishedAtOnce) {
    const count = Math.min(publishedAtOnce, orders - first);
    await Promise.all(
      Array.from({ length: count }, async (_, index) => {
        const number = first + index + 1;
        const orderId = `order-${number}`;
        const amount = number % poisonEvery === 0 ? unpayableAmount : 10 + (number % 90);
        const order = new PlaceOrder(orderId, amount);
        // Before the run was killed.
        if (ledger.isSent(orderId)) return;
        ledger.placed(orderId);
        const id = `${options.runId}/${orderId}`;
        const isSent = await repeat(() => customer.send(queues.orders, order, { id }), options, signal);
        if (isSent) ledger.sent(orderId);
      }),
    );
    onProgress(ledger.ended, first + count);
  }
}

/**
 * Publishes until it is confirmed. What was not confirmed may have arrived all the same: under its old id the
 * copy is a duplicate that the order service recognises. Given up with the run's patience, the order counts as
 * lost unless it ends.
 */
async function repeat(
  publish: () => Promise<unknown>,
  { patienceSeconds }: RunOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const giveUpAt = performance.now() + patienceSeconds * 1_000;
  while (!signal.aborted) {
    try {
      await publish();
      return true;
    } catch (error) {
      if (!MelangeError.is(error, 'PUBLISH_FAILED')) throw error;
      if (performance.now() > giveUpAt) return false;
      await pause(pauseBeforeRepeatMs);
    }
  }
  return false;
}

/** Resolves when every order has ended, or nothing has for too long: the summary then says what is lost. */
async function ended(
  { orders, patienceSeconds }: RunOptions,
  ledger: Ledger,
  onProgress: (ended: number, placed: number) => void,
  signal: AbortSignal,
): Promise<void> {
  let before = -1;
  let lastProgress = performance.now();
  while (ledger.ended < orders && !signal.aborted) {
    if (ledger.ended !== before) {
      before = ledger.ended;
      lastProgress = performance.now();
      onProgress(before, orders);
    }
    if (performance.now() - lastProgress > patienceSeconds * 1_000) return;
    await pause(lookEveryMs);
  }
  onProgress(ledger.ended, orders);
}

/** Resolves early where the signal is aborted: publishing to a broker that is away ends at its own deadline only. */
async function untilAborted(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  await Promise.race([work, aborted(signal)]);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
