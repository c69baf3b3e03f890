// Not the global one: tests of applications fake it.
import { setImmediate } from 'node:timers';
import type { Troubles } from '@melange/backend-kit';
import { type Clock, MelangeError, type Message, QueueNotFoundError } from '@melange/core';
import { type Entry, EntryList } from './entry-list.ts';

/** What every queue of a broker shares. */
export interface QueueSettings {
  readonly clock: Clock;
  readonly troubles: Troubles;
  /** Bound of the messages of one queue, those in flight and delayed included. */
  readonly maxMessages: number;
}

/** Who receives from a queue. */
export interface Consumer {
  readonly maxInFlight: number;
  /** Whether it is to be told when the queue is empty. */
  readonly untilEmpty: boolean;
  /** Messages handed over and not settled. Only the queue writes it. */
  inFlight: number;
  /** Whether it takes messages. Only the queue writes it. */
  state: 'starting' | 'open' | 'stopped';
  deliver(entry: Entry): void;
  empty(): void;
  /** The queue was deleted, with the messages that were handed over. */
  lost(error: Error): void;
}

/** After so many deliveries the rest of the process has its turn: timers, sockets, other queues. */
const maxDeliveriesPerTurn = 256;

/** As `queueMicrotask`, which Jest fakes. */
const inMicrotask = Promise.resolve();

/** One queue: what waits, what is in flight, and who is served next. */
export class Queue {
  readonly name: string;
  readonly deadLetterQueue: string | undefined;
  /** Takes messages in place of the queue. */
  interceptor: ((message: Message) => Promise<void>) | undefined;
  readonly #settings: QueueSettings;
  readonly #ready = new EntryList();
  /** Keys with an entry in flight or waiting for its retry: later entries of the key must not pass it. */
  readonly #busyKeys = new Set<string>();
  /** Entries that met their key busy, by key. The earliest becomes ready when the key is free. */
  readonly #parked = new Map<string, EntryList>();
  /** Ends the wait of an entry for its time. */
  readonly #delays = new Set<() => void>();
  /** The one to be served next comes first. */
  readonly #consumers: Consumer[] = [];
  /** Entries handed over and not settled, in any order. A Set would cost a message a third of its time. */
  readonly #held: Entry[] = [];
  #size = 0;
  #sequence = 0;
  #isPumpDue = false;
  /** Actions that wait for the next turn of the event loop. */
  #actionsDue = 0;
  #deliveriesThisTurn = 0;
  #isOver = false;

  constructor(name: string, deadLetterQueue: string | undefined, settings: QueueSettings) {
    this.name = name;
    this.deadLetterQueue = deadLetterQueue;
    this.#settings = settings;
  }

  /** Messages that wait to be delivered. */
  get depth(): number {
    return this.#size - this.#held.length - this.#delays.size;
  }

  /** Messages handed over and not settled. */
  get inFlight(): number {
    return this.#held.length;
  }

  /** The earliest entries after a place, those in flight included, in their order; at most `limit` of them. */
  after(sequence: number, limit: number): Entry[] {
    const entries = [...this.#ready.after(sequence, limit)];
    for (const parked of this.#parked.values())
      for (const entry of parked.after(sequence, limit)) entries.push(entry);
    for (const entry of this.#held) if (entry.sequence > sequence) entries.push(entry);
    return entries.sort((one, other) => one.sequence - other.sequence).slice(0, limit);
  }

  /** Whether it hands over nothing more until somebody publishes, settles or subscribes, or a delay ends. */
  get isQuiet(): boolean {
    return this.#isOver || (!this.#isPumpDue && this.#actionsDue === 0);
  }

  /** @throws MelangeError `QUEUE_FULL`. */
  assertRoom(): void {
    const { maxMessages, troubles } = this.#settings;
    if (this.#size < maxMessages) return;
    const reason = `it holds ${maxMessages} messages: consume, or raise maxMessages`;
    troubles.begin(this.#subject, reason);
    throw new MelangeError('QUEUE_FULL', `Queue "${this.name}" is full: ${reason}.`);
  }

  put(message: Message, delayMs: number): void {
    const entry: Entry = { message, sequence: 0, attempt: 1, redeliveries: 0, heldAt: -1 };
    this.#size += 1;
    if (delayMs > 0) {
      this.#later(delayMs, () => this.#append(entry));
      return;
    }
    this.#append(entry);
    this.#pumpSoon();
  }

  open(consumer: Consumer): void {
    this.#consumers.push(consumer);
    // Two turns later: the kit hands nothing over before the next turn, when its subscriber has the subscription.
    this.#nextTurn(() =>
      this.#nextTurn(() => {
        if (consumer.state === 'starting') consumer.state = 'open';
        this.#pumpSoon();
      }),
    );
  }

  /** Removes a consumer that has settled everything. */
  close(consumer: Consumer): void {
    const place = this.#consumers.indexOf(consumer);
    if (place >= 0) this.#consumers.splice(place, 1);
  }

  /** The entry is gone for good. */
  finish(entry: Entry, consumer: Consumer): void {
    this.#settled(entry, consumer);
    if (this.#size === this.#settings.maxMessages) this.#settings.troubles.end(this.#subject);
    this.#size -= 1;
    this.#freeKey(entry);
    this.#pumpSoon();
  }

  /** Comes again in its old place. */
  putBack(entry: Entry, consumer: Consumer): void {
    this.#settled(entry, consumer);
    this.#return(entry);
    this.#pumpNextTurn();
  }

  /** Comes again after the delay: with a key in its old place, the key waiting for it; else behind the others. */
  comeAgain(entry: Entry, consumer: Consumer, delayMs: number): void {
    this.#settled(entry, consumer);
    const enter = (): void => {
      if (entry.message.key === undefined) this.#append(entry);
      else this.#return(entry);
    };
    if (delayMs > 0) {
      this.#later(delayMs, enter);
      // The room that it leaves is for others.
      this.#pumpSoon();
    } else {
      enter();
      this.#pumpNextTurn();
    }
  }

  /** The queue was deleted: nothing of it happens any more. */
  end(): void {
    this.#isOver = true;
    for (const cancel of this.#delays) cancel();
    this.#settings.troubles.forget(this.#subject);
    for (const consumer of this.#consumers.splice(0)) consumer.lost(new QueueNotFoundError(this.name));
  }

  get #subject(): string {
    return `publishing to queue "${this.name}"`;
  }

  #settled(entry: Entry, consumer: Consumer): void {
    consumer.inFlight -= 1;
    const last = this.#held.pop() as Entry;
    if (last !== entry) {
      this.#held[entry.heldAt] = last;
      last.heldAt = entry.heldAt;
    }
    entry.heldAt = -1;
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
    const cancel = this.#settings.clock.schedule(() => {
      this.#delays.delete(cancel);
      action();
      this.#pumpSoon();
    }, delayMs);
    this.#delays.add(cancel);
  }

  #freeKey({ message: { key } }: Entry): void {
    if (key === undefined) return;
    this.#busyKeys.delete(key);
    const parked = this.#parked.get(key);
    const next = parked?.take();
    if (next === undefined) return;
    if (parked?.size === 0) this.#parked.delete(key);
    this.#ready.add(next);
  }

  #park(entry: Entry, key: string): void {
    const parked = this.#parked.get(key) ?? new EntryList();
    this.#parked.set(key, parked);
    parked.add(entry);
  }

  #pumpSoon(): void {
    if (this.#isPumpDue || this.#isOver) return;
    this.#isPumpDue = true;
    const pump = (): void => {
      this.#isPumpDue = false;
      this.#pump();
    };
    if (this.#deliveriesThisTurn < maxDeliveriesPerTurn) {
      void inMicrotask.then(pump);
      return;
    }
    this.#deliveriesThisTurn = 0;
    setImmediate(pump);
  }

  /** For what comes back at once: a subscriber that gives everything back must not have the event loop to itself. */
  #pumpNextTurn(): void {
    this.#nextTurn(() => this.#pumpSoon());
  }

  #nextTurn(action: () => void): void {
    this.#actionsDue += 1;
    setImmediate(() => {
      this.#actionsDue -= 1;
      action();
    });
  }

  #pump(): void {
    while (!this.#isOver && this.#deliveriesThisTurn < maxDeliveriesPerTurn) {
      const consumer = this.#consumers.find(hasRoom);
      if (consumer === undefined) break;
      const entry = this.#takeDeliverable();
      if (entry === undefined) break;
      this.#deliveriesThisTurn += 1;
      this.#deliver(entry, consumer);
    }
    if (this.#deliveriesThisTurn >= maxDeliveriesPerTurn) this.#pumpSoon();
    // Parked entries become deliverable when those in flight are settled, but not when only a delay frees them.
    const isEmpty = this.#ready.size === 0 && (this.#parked.size === 0 || this.#held.length === 0);
    if (!isEmpty) return;
    for (const consumer of this.#consumers)
      if (consumer.untilEmpty && consumer.state === 'open') consumer.empty();
  }

  #deliver(entry: Entry, consumer: Consumer): void {
    // Behind the other consumers, so that none takes everything; only a delivery uses up a turn.
    if (this.#consumers.length > 1) {
      this.close(consumer);
      this.#consumers.push(consumer);
    }
    const { key } = entry.message;
    if (key !== undefined) this.#busyKeys.add(key);
    consumer.inFlight += 1;
    entry.heldAt = this.#held.push(entry) - 1;
    consumer.deliver(entry);
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

function hasRoom({ state, inFlight, maxInFlight }: Consumer): boolean {
  return state === 'open' && inFlight < maxInFlight;
}
