import type {
  Again,
  Intake,
  PushDriver,
  PushSource,
  Received,
  SubscriptionContext,
} from '@melange/backend-kit';
import type { Clock, DeadLetterOptions, Message } from '@melange/core';
import { deadLetterCopy } from '@melange/core/adapter';
import type { Broker } from './client/broker.ts';
import type { Entry } from './client/entry-list.ts';
import type { Consumer, Queue } from './client/queue.ts';
import { copied } from './wire.ts';

/** A message in the hands of a subscriber. */
export interface Handed extends Received {
  /** What the queue holds; `message` is a copy, whatever its handler does to it. */
  readonly entry: Entry;
  /** The message is settled before its lease ends. */
  cancelLease?: () => void;
}

/** Opens intakes. */
export function consuming(broker: Broker, clock: Clock, leaseMs: number | undefined): PushDriver<Handed> {
  return {
    kind: 'push',
    async open(context, intake) {
      const source = new MemorySource({ broker, clock, leaseMs }, context, intake);
      source.queue.open(source);
      return source;
    },
  };
}

interface SourceSettings {
  readonly broker: Broker;
  readonly clock: Clock;
  readonly leaseMs: number | undefined;
}

/** An open intake: a consumer for its queue, a source for the kit. */
class MemorySource implements Consumer, PushSource<Handed> {
  readonly queue: Queue;
  readonly maxInFlight: number;
  readonly untilEmpty: boolean;
  inFlight = 0;
  state: Consumer['state'] = 'starting';
  readonly #settings: SourceSettings;
  readonly #intake: Intake<Handed>;

  constructor(settings: SourceSettings, context: SubscriptionContext, intake: Intake<Handed>) {
    this.queue = settings.broker.queue(context.queue);
    this.maxInFlight = context.maxInFlight;
    this.untilEmpty = context.untilEmpty;
    this.#settings = settings;
    this.#intake = intake;
  }

  deliver(entry: Entry): void {
    const { attempt, redeliveries } = entry;
    const handed: Handed = { message: copied(entry.message), attempt, redeliveries, entry };
    this.#lease(handed);
    this.#intake.deliver(handed);
  }

  empty(): void {
    this.#intake.empty();
  }

  lost(error: Error): void {
    this.#intake.lost(error);
  }

  finish({ entry, cancelLease }: Handed): void {
    cancelLease?.();
    this.queue.finish(entry, this);
  }

  acknowledge(batch: readonly Handed[]): undefined {
    for (const handed of batch) this.finish(handed);
  }

  retry({ entry, cancelLease }: Handed, { delayMs, attempt, redeliveries }: Again): void {
    cancelLease?.();
    entry.attempt = attempt;
    entry.redeliveries = redeliveries;
    this.queue.comeAgain(entry, this, delayMs);
  }

  deadLetter(handed: Handed, deadLetterQueue: string, _: Message, options: DeadLetterOptions): void {
    const target = this.#settings.broker.queue(deadLetterQueue);
    target.assertRoom();
    const at = this.#settings.clock.now();
    const circumstances = { queue: this.queue.name, attempts: handed.attempt, at };
    // Of the message that was published, not of what its handler made of it.
    target.put(deadLetterCopy(handed.entry.message, options, circumstances), 0);
    this.finish(handed);
  }

  release(batch: readonly Handed[]): void {
    for (const { entry, cancelLease } of batch) {
      cancelLease?.();
      this.queue.putBack(entry, this);
    }
  }

  stop(): void {
    this.state = 'stopped';
  }

  close(): void {
    this.queue.close(this);
  }

  /** Takes the message back when it is not settled in time. */
  #lease(handed: Handed): void {
    const { leaseMs, clock } = this.#settings;
    if (leaseMs === undefined) return;
    handed.cancelLease = clock.schedule(() => {
      handed.entry.redeliveries += 1;
      this.queue.comeAgain(handed.entry, this, 0);
      this.#intake.takenBack([handed], `It was not settled within its lease of ${leaseMs} ms.`);
    }, leaseMs);
  }
}
