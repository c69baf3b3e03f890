import { type Clock, type Message, QueueNotFoundError } from '@melange/core';
import { type Entry, EntryList } from './entry-list.ts';
import { MemoryDelivery } from './memory-delivery.ts';
import { copyMessage } from './memory-message-mapper.ts';
import type { MemorySubscription } from './memory-subscription.ts';

/** What a queue needs of its broker. */
export interface QueueSettings {
  readonly clock: Clock;
  readonly leaseMs: number | undefined;
  readonly deadLetterQueue: string | undefined;
  readonly putIntoDeadLetterQueue: (message: Message) => void;
}

/** One queue: what waits, what is in flight, and who is served next. */
export class MemoryQueue {
  readonly name: string;
  readonly settings: QueueSettings;
  readonly #ready = new EntryList();
  /** Entries whose key is busy, by key, earliest first. */
  readonly #parked = new Map<string, Entry[]>();
  /** Keys with an entry in flight or waiting for its retry: later entries of the key must not pass it. */
  readonly #busyKeys = new Set<string>();
  readonly #subscriptions: MemorySubscription[] = [];
  readonly #delays = new Set<() => void>();
  #parkedCount = 0;
  #inFlight = 0;
  #sequence = 0;
  #pumpIsDue = false;
  #deleted = false;

  constructor(name: string, settings: QueueSettings) {
    this.name = name;
    this.settings = settings;
  }

  /** Messages that wait to be delivered. */
  get depth(): number {
    return this.#ready.size + this.#parkedCount;
  }

  /** Messages held, in flight and delayed ones included. */
  get size(): number {
    return this.depth + this.#inFlight + this.#delays.size;
  }

  put(message: Message, delayMs = 0): void {
    const entry: Entry = { message: copyMessage(message), sequence: 0, attempt: 1 };
    if (delayMs > 0) this.#later(delayMs, () => this.#append(entry));
    else this.#append(entry);
  }

  add(subscription: MemorySubscription): void {
    this.#subscriptions.push(subscription);
    // Not in this turn: the subscriber is to hold its subscription before the first delivery comes.
    setImmediate(() => this.#schedulePump());
  }

  remove(subscription: MemorySubscription): void {
    const index = this.#subscriptions.indexOf(subscription);
    if (index >= 0) this.#subscriptions.splice(index, 1);
  }

  /** The entry is gone for good. */
  finish(entry: Entry): void {
    this.#inFlight -= 1;
    this.#freeKey(entry);
    this.#schedulePump();
  }

  /** Comes again in its old place. */
  putBack(entry: Entry): void {
    this.#inFlight -= 1;
    this.#freeKey(entry);
    this.#ready.putBack(entry);
    // Not in this turn: a subscriber that gives everything back must not keep the event loop to itself.
    setImmediate(() => this.#schedulePump());
  }

  /** Comes again after the delay: with a key in its old place, the key waiting for it; else behind the others. */
  retry(entry: Entry, delayMs: number): void {
    this.#inFlight -= 1;
    entry.attempt += 1;
    this.#schedulePump();
    this.#later(delayMs, () => {
      if (entry.message.key === undefined) return this.#append(entry);
      this.#freeKey(entry);
      this.#ready.putBack(entry);
      this.#schedulePump();
    });
  }

  /** Ends everything: timers, subscriptions and their deliveries. */
  delete(): void {
    this.#deleted = true;
    for (const cancel of this.#delays) cancel();
    for (const subscription of [...this.#subscriptions]) subscription.fail(new QueueNotFoundError(this.name));
  }

  /** Ends subscriptions and timers when the backend closes. */
  close(): void {
    this.#deleted = true;
    for (const cancel of this.#delays) cancel();
    for (const subscription of [...this.#subscriptions]) subscription.abandon();
  }

  #append(entry: Entry): void {
    this.#sequence += 1;
    entry.sequence = this.#sequence;
    this.#ready.append(entry);
    this.#schedulePump();
  }

  #later(delayMs: number, action: () => void): void {
    const cancel = this.settings.clock.schedule(() => {
      this.#delays.delete(cancel);
      action();
    }, delayMs);
    this.#delays.add(cancel);
  }

  #freeKey({ message: { key } }: Entry): void {
    if (key === undefined) return;
    this.#busyKeys.delete(key);
    const parked = this.#parked.get(key);
    const next = parked?.shift();
    if (next === undefined) return;
    this.#parkedCount -= 1;
    if (parked?.length === 0) this.#parked.delete(key);
    this.#ready.putBack(next);
  }

  #park(entry: Entry, key: string): void {
    const parked = this.#parked.get(key);
    this.#parkedCount += 1;
    if (parked === undefined) {
      this.#parked.set(key, [entry]);
      return;
    }
    let index = parked.length;
    while (index > 0 && (parked[index - 1] as Entry).sequence > entry.sequence) index -= 1;
    parked.splice(index, 0, entry);
  }

  #schedulePump(): void {
    if (this.#pumpIsDue || this.#deleted) return;
    this.#pumpIsDue = true;
    queueMicrotask(() => {
      this.#pumpIsDue = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (!this.#deleted) {
      const subscription = this.#nextSubscriber();
      if (subscription === undefined) break;
      const entry = this.#takeDeliverable();
      if (entry === undefined) break;
      if (entry.message.key !== undefined) this.#busyKeys.add(entry.message.key);
      this.#inFlight += 1;
      subscription.deliver(new MemoryDelivery(this, subscription, entry));
    }
    // Parked entries become deliverable when those in flight are settled, but not when only a delay frees them.
    const isEmpty = this.#ready.size === 0 && (this.#parkedCount === 0 || this.#inFlight === 0);
    if (isEmpty) for (const subscription of [...this.#subscriptions]) subscription.onEmpty();
  }

  /** Turn by turn, so that no subscriber takes everything. */
  #nextSubscriber(): MemorySubscription | undefined {
    for (let tried = 0; tried < this.#subscriptions.length; tried += 1) {
      const subscription = this.#subscriptions.shift() as MemorySubscription;
      this.#subscriptions.push(subscription);
      if (subscription.hasRoom) return subscription;
    }
    return undefined;
  }

  #takeDeliverable(): Entry | undefined {
    for (;;) {
      const entry = this.#ready.take();
      const key = entry?.message.key;
      if (entry === undefined || key === undefined || !this.#busyKeys.has(key)) return entry;
      this.#park(entry, key);
    }
  }
}
