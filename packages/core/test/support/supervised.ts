import { MemoryBackend } from '@melange/backend-memory';
import {
  type Consumer,
  type Delivery,
  MessageDispatcher,
  type MessageDispatcherOptions,
  QueuePublisher,
  type SubscribeOptions,
  silentLogger,
} from '@melange/core';
import { ManualClock, settled } from './manual-clock.ts';
import { serializers } from './text-serializer.ts';

/** Numbers that look random, the same in every run. */
export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

/** What became of the messages of a supervised worker. */
export interface Supervised {
  /** Numbers of those that were processed, in the order in which they first were. */
  readonly done: readonly number[];
  /** Numbers of those in the dead-letter queue. */
  readonly dead: readonly number[];
  readonly reasons: ReadonlySet<string | undefined>;
  readonly crashes: number;
  /** The most that an innocent message was redelivered. */
  readonly mostRedeliveries: number;
}

interface Scenario extends Partial<MessageDispatcherOptions> {
  readonly count: number;
  readonly isKiller: (n: number) => boolean;
  /** Unknown to the broker, as with most of them: it hands out several messages of one key. */
  readonly key?: (n: number) => string | undefined;
  /** So long a killer runs before it ends the process, in ms. Default: 0. */
  readonly diesAfterMs?: number;
}

/**
 * A worker that some messages end, restarted each time: its deliveries are never settled, and the broker hands them out
 * again when their leases end.
 */
export async function supervised({
  count,
  isKiller,
  key,
  diesAfterMs = 0,
  ...options
}: Scenario): Promise<Supervised> {
  const clock = new ManualClock();
  const backend = new MemoryBackend({ clock, leaseMs: 10_000, logger: silentLogger });
  await backend.declareQueue('orders', { deadLetterQueue: 'dead' });
  await new QueuePublisher({ backend, serializers, clock }).publishBatch(
    'orders',
    Array.from({ length: count }, (_, n) => ({ value: { n } })),
  );
  const done = new Set<number>();
  let crashes = 0;
  let mostRedeliveries = 0;
  const isOver = async (): Promise<boolean> =>
    done.size + (await backend.describeQueue('dead')).depth >= count &&
    (await backend.describeQueue('orders')).depth === 0;
  while (crashes < 2_000 && !(await isOver())) {
    let isDead = false;
    // Of a process that has ended the broker hears nothing more.
    const dying = Object.create(backend, {
      describeQueue: { value: (name: string) => backend.describeQueue(name) },
      subscribe: {
        value: (queue: string, settings: SubscribeOptions, receive: (delivery: Delivery) => void) =>
          backend.subscribe(queue, settings, (delivery) => {
            if (!isKiller(numberOf(delivery)))
              mostRedeliveries = Math.max(mostRedeliveries, delivery.redeliveries ?? 0);
            const [release, retry] = [delivery.release.bind(delivery), delivery.retry.bind(delivery)];
            const keyOfMessage = key?.(numberOf(delivery));
            receive(
              Object.defineProperties(delivery, {
                message: {
                  value: {
                    ...delivery.message,
                    ...(keyOfMessage !== undefined && { key: keyOfMessage }),
                  },
                },
                release: { value: async () => (isDead ? undefined : release()) },
                retry: { value: async (how: object) => (isDead ? undefined : retry(how)) },
              }),
            );
          }),
      },
    }) as MemoryBackend;
    const worker: Consumer = {
      name: 'worker',
      accepts: () => true,
      process: async (value) => {
        const { n } = value as { n: number };
        if (isKiller(n)) {
          // Those that the broker hands out with it have come.
          await nextTurn();
          if (diesAfterMs > 0)
            await new Promise<void>((resolve) => void clock.schedule(resolve, diesAfterMs));
          isDead = true;
        }
        // So that a crash finds some of its messages at work.
        for (let turn = 0; turn < 3; turn += 1) await nextTurn();
        if (isDead) return new Promise<void>(() => undefined);
        done.add(n);
      },
    };
    const dispatcher = new MessageDispatcher({
      backend: dying,
      serializers,
      clock,
      logger: silentLogger,
      ...options,
    });
    dispatcher.attachConsumer(worker);
    const stop = new AbortController();
    // Ends when the leases of what it left have ended: they are lost to it then.
    const running = dispatcher.consumeLoop('orders', { signal: stop.signal, deadlineMs: 10_000 });
    for (let step = 0; step < 90 && !isDead; step += 1) await clock.advance(100);
    if (isDead) crashes += 1;
    stop.abort();
    await settled();
    await clock.advance(20_000);
    await running;
  }
  const letters: Delivery[] = [];
  await backend.subscribe('dead', { maxInFlight: count }, (delivery) => void letters.push(delivery));
  await settled();
  const dead = letters.map(numberOf).sort((left, right) => left - right);
  const reasons = new Set(letters.map(({ message }) => message.headers.melange_reason));
  await backend.close();
  return { done: [...done], dead, reasons, crashes, mostRedeliveries };
}

function numberOf({ message }: Delivery): number {
  return (JSON.parse(String(message.content)) as { n: number }).n;
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
