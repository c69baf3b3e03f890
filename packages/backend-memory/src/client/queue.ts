// Not the global one: tests of applications fake it.
import { setImmediate } from 'node:timers';
import type { Clock, Logger, Message } from '@melange/core';
import { Slots } from '@melange/core/adapter';
import { MemoryDelivery } from '../consume/delivery.ts';
import type { MemorySubscription } from '../consume/subscription.ts';
import { copyMessage } from '../wire.ts';
import { type Entry, EntryList } from './entry-list.ts';

/** As `queueMicrotask`, which Jest fakes. */
const inMicrotask = Promise.resolve();

/** What a queue needs of its broker. */
export interface QueueSettings {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly leaseMs: number | undefined;
  readonly deadLetterQueue: string | undefined;
  /** Throws when the message could not be taken there. */
  readonly putIntoDeadLetterQueue: (message: Message) => void;
}

/** After so many deliveries the rest of the process has its turn: timers, sockets, other queues. */
const deliveriesPerTurn = 256;

/** Longest delay that a timer keeps; a longer one takes several. */
const longestTimerMs = 2_147_483_647;

/** One queue: what waits, what is in flight, and who is served next. */
export class MemoryQueue {
  readonly name: string;
  readonly settings: QueueSettings;
  readonly #ready = new EntryList();
  /** Keys with an entry in flight or waiting for its retry: later entries of the key must not pass it. */
  readonly #busyKeys = new Set<string>();
  /** Entries that met their key busy, by key. The earliest becomes ready when the key is free. */
  readonly #parked = new Map<string, EntryList>();
  #parkedCount = 0;
  readonly #inFlight = new Slots<MemoryDelivery>();
  /** Ends the wait of an entry for its time. */
  readonly #delays = new Set<() => void>();
  /** Open intakes, the one to be served next first. */
  readonly #subscriptions: MemorySubscription[] = [];
  #sequence = 0;
  #pumpIsDue = false;
  /** Actions that wait for the next turn of the event loop. */
  #actionsDue = 0;
  #deliveriesThisTurn = 0;
  #isOver = false;

  constructor(name: string, settings: QueueSettings) {
    this.name = name;
    this.settings = settings;
  }

  /** Messages that wait to be delivered. */
  get depth(): number {
    return this.#ready.size + this.#parkedCount;
  }

  /** Messages handed over and not settled. */
  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** Messages held, in flight and delayed ones included. */
  get size(): number {
    return this.depth + this.#inFlight.size + this.#delays.size;
  }

  /** Whether it hands over nothing more until somebody publishes, settles or subscribes, or a delay ends. */
  get isQuiet(): boolean {
    return this.#isOver || (!this.#pumpIsDue && this.#actionsDue === 0);
  }

  put(message: Message, delayMs = 0): void {
    const entry: Entry = { message: copyMessage(message), sequence: 0, attempt: 1, redeliveries: 0 };
    if (delayMs > 0) {
      this.#later(delayMs, () => this.#append(entry));
      return;
    }
    this.#append(entry);
    this.#schedulePump();
  }

  add(subscription: MemorySubscription): void {
    this.#subscriptions.push(subscription);
    // Not in this turn: the subscriber is to hold its subscription before the first delivery comes.
    this.#nextTurn(() => {
      subscription.start();
      this.#schedulePump();
    });
  }

  remove(subscription: MemorySubscription): void {
    const index = this.#subscriptions.indexOf(subscription);
    if (index >= 0) this.#subscriptions.splice(index, 1);
  }

  /** The entry is gone for good. */
  finish(delivery: MemoryDelivery): void {
    this.#inFlight.delete(delivery);
    this.#freeKey(delivery.entry);
    this.#schedulePump();
  }

  /** Comes again in its old place. */
  putBack(delivery: MemoryDelivery): void {
    this.#inFlight.delete(delivery);
    this.#return(delivery.entry);
    this.#pumpNextTurn();
  }

  /** Comes again after the delay: with a key in its old place, the key waiting for it; else behind the others. */
  comeAgain(delivery: MemoryDelivery, delayMs: number): void {
    const { entry } = delivery;
    this.#inFlight.delete(delivery);
    const enter = (): void => {
      if (entry.message.key === undefined) this.#append(entry);
      else this.#return(entry);
    };
    if (delayMs > 0) {
      this.#later(delayMs, enter);
      // The room that it leaves is for others.
      this.#schedulePump();
    } else {
      enter();
      this.#pumpNextTurn();
    }
  }

  /**
   * Ends everything: timers, subscriptions and deliveries.
   *
   * @param why told to whoever still handles a delivery.
   */
  end(why: string): void {
    for (const subscription of [...this.#subscriptions]) subscription.end();
    this.#endDeliveries(why);
  }

  /** As `end`, but subscriptions that wait for the queue to be made again are left, and answered; the others fail. */
  drop(why: string, error: Error): MemorySubscription[] {
    const subscriptions = [...this.#subscriptions];
    const waiting = subscriptions.filter(({ outlivesItsQueue }) => outlivesItsQueue);
    for (const subscription of subscriptions) if (!subscription.outlivesItsQueue) subscription.end(error);
    this.#subscriptions.length = 0;
    this.#endDeliveries(why);
    return waiting;
  }

  #endDeliveries(why: string): void {
    this.#isOver = true;
    for (const cancel of this.#delays) cancel();
    this.#delays.clear();
    // Those of subscriptions that were closed and still wait for their handlers are among them.
    for (const delivery of this.#inFlight.all()) {
      this.#inFlight.delete(delivery);
      delivery.lose('shutdown', why);
    }
  }

  #append(entry: Entry): void {
    this.#sequence += 1;
    entry.sequence = this.#sequence;
    this.#ready.add(entry);
  }

  /** Back to its old place, its key free for it. */
  #return(entry: Entry): void {
    this.#freeKey(entry);
    this.#ready.add(entry);
  }

  #later(delayMs: number, action: () => void): void {
    const cancel = this.settings.clock.schedule(
      () => {
        this.#delays.delete(cancel);
        if (delayMs > longestTimerMs) {
          this.#later(delayMs - longestTimerMs, action);
          return;
        }
        action();
        this.#schedulePump();
      },
      Math.min(delayMs, longestTimerMs),
    );
    this.#delays.add(cancel);
  }

  #freeKey({ message: { key } }: Entry): void {
    if (key === undefined) return;
    this.#busyKeys.delete(key);
    const parked = this.#parked.get(key);
    const next = parked?.take();
    if (next === undefined) return;
    this.#parkedCount -= 1;
    if (parked?.size === 0) this.#parked.delete(key);
    this.#ready.add(next);
  }

  #park(entry: Entry, key: string): void {
    const parked = this.#parked.get(key) ?? new EntryList();
    this.#parked.set(key, parked);
    parked.add(entry);
    this.#parkedCount += 1;
  }

  #schedulePump(): void {
    if (this.#pumpIsDue || this.#isOver) return;
    this.#pumpIsDue = true;
    const pump = (): void => {
      this.#pumpIsDue = false;
      this.#pump();
    };
    if (this.#deliveriesThisTurn < deliveriesPerTurn) {
      void inMicrotask.then(pump);
      return;
    }
    this.#deliveriesThisTurn = 0;
    setImmediate(pump);
  }

  /** For what comes back at once: a subscriber that gives everything back must not have the event loop to itself. */
  #pumpNextTurn(): void {
    this.#nextTurn(() => this.#schedulePump());
  }

  #nextTurn(action: () => void): void {
    this.#actionsDue += 1;
    setImmediate(() => {
      this.#actionsDue -= 1;
      action();
    });
  }

  #pump(): void {
    while (!this.#isOver && this.#deliveriesThisTurn < deliveriesPerTurn) {
      const subscription = this.#subscriptions.find(({ hasRoom }) => hasRoom);
      if (subscription === undefined) break;
      const entry = this.#takeDeliverable();
      if (entry === undefined) break;
      this.#servedNow(subscription);
      if (entry.message.key !== undefined) this.#busyKeys.add(entry.message.key);
      this.#deliveriesThisTurn += 1;
      const delivery = new MemoryDelivery(this, subscription, entry);
      this.#inFlight.add(delivery);
      subscription.deliver(delivery);
    }
    if (this.#deliveriesThisTurn >= deliveriesPerTurn) this.#schedulePump();
    // Parked entries become deliverable when those in flight are settled, but not when only a delay frees them.
    const isEmpty = this.#ready.size === 0 && (this.#parkedCount === 0 || this.#inFlight.size === 0);
    if (isEmpty) for (const subscription of [...this.#subscriptions]) subscription.onEmpty();
  }

  /** Behind the other subscribers, so that none takes everything; only a delivery uses up a turn. */
  #servedNow(subscription: MemorySubscription): void {
    if (this.#subscriptions.length === 1) return;
    this.remove(subscription);
    this.#subscriptions.push(subscription);
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
