import { type Clock, type Delivery, MelangeError, type MessagingBackend } from '@melange/core';

/** How long the message of the lock is waited for, in ms: Kafka hands it out some seconds after another process came or left. */
const patienceMs = 10_000;

/** When another process is looked for, in ms: the message has come by then where the broker hands it out at once. */
const lookAfterMs = 1_000;

/** What holds two processes off each other. */
export interface Lock {
  /** Aborted when the lock is lost for good. */
  readonly lost: AbortSignal;
  /** Resolves when the lock is held, or lost for good; `undefined` when it is held now. */
  waiting(): Promise<void> | undefined;
}

/**
 * Runs `work` while no other process does so for the same queue: whoever holds the one message of the queue
 * `<dead-letter queue>-redrive-lock` has the lock. A process that dies gives it back, as it does any message.
 *
 * @throws MelangeError `QUEUE_IN_USE` when another process has it.
 */
export async function withLock<Result>(
  { backend, clock }: { readonly backend: MessagingBackend; readonly clock: Clock },
  queue: string,
  work: (lock: Lock) => Promise<Result>,
): Promise<Result> {
  const name = lockQueueOf(queue);
  const { exists } = await backend.describeQueue(name);
  if (!exists) {
    await backend.declareQueue(name);
    await backend.publishToQueue(name, [lockMessage]);
  }
  const lock = new HeldLock(clock);
  const subscription = await backend.subscribe(name, { maxInFlight: 10 }, (delivery) => lock.came(delivery));
  const cancel = clock.schedule(() => {
    void isElsewhere(backend, name).then((held) => held && lock.giveUp());
  }, lookAfterMs);
  try {
    await lock.waiting();
    cancel();
    if (lock.lost.aborted) {
      throw new MelangeError(
        'QUEUE_IN_USE',
        `Another redrive of "${queue}" is under way: it holds the message of the queue "${name}". Wait until it has ended; if none is running, delete that queue.`,
      );
    }
    return await work(lock);
  } finally {
    cancel();
    const closed = subscription.close();
    await lock.giveBack();
    await closed;
  }
}

/** Whether the broker knows that the message is in flight. */
async function isElsewhere(backend: MessagingBackend, name: string): Promise<boolean> {
  try {
    const { depth, inFlight = 0 } = await backend.describeQueue(name);
    return inFlight > 0 || (backend.capabilities.exactDepth && depth === 0);
  } catch {
    return false;
  }
}

class HeldLock implements Lock {
  readonly #clock: Clock;
  readonly #lost = new AbortController();
  #held: Delivery | undefined;
  #wait: { readonly promise: Promise<void>; readonly end: () => void } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#await();
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  waiting(): Promise<void> | undefined {
    return this.#wait?.promise;
  }

  came(delivery: Delivery): void {
    if (this.#held !== undefined && this.#held.isAborted !== true) {
      // Two processes made the lock in the same moment: one message is enough.
      void Promise.resolve(delivery.acknowledge()).catch(() => undefined);
      return;
    }
    this.#held = delivery;
    // A broker may take it back for a while, as Kafka does when another process joins.
    delivery.signal.addEventListener('abort', () => this.#await(), { once: true });
    this.#wait?.end();
  }

  /** The first wait is over: another process has the message. */
  giveUp(): void {
    if (this.#held !== undefined) return;
    this.#lost.abort();
    this.#wait?.end();
  }

  async giveBack(): Promise<void> {
    this.#wait?.end();
    await this.#held?.release().catch(() => undefined);
  }

  #await(): void {
    if (this.#wait !== undefined) return;
    let resolve = (): void => undefined;
    const promise = new Promise<void>((done) => {
      resolve = done;
    });
    const cancel = this.#clock.schedule(() => {
      this.#lost.abort();
      end();
    }, patienceMs);
    const end = (): void => {
      cancel();
      this.#wait = undefined;
      resolve();
    };
    this.#wait = { promise, end };
  }
}

const lockMessage = {
  id: 'redrive-lock',
  content: '',
  manifest: undefined,
  serializerId: undefined,
  key: undefined,
  headers: {},
  publishedAt: undefined,
};

/** Names of queues have at most 80 characters on SQS, whose FIFO queues end in `.fifo`. */
function lockQueueOf(queue: string): string {
  const suffix = '-redrive-lock';
  return `${queue.replace(/\.fifo$/, '').slice(0, 80 - suffix.length)}${suffix}`;
}
