import {
  type Delivery,
  type Health,
  type Logger,
  type MelangeError,
  QueueNotFoundError,
} from '@melange/core';
import type { KafkaClient } from '../client/index.ts';
import type { KafkaSettings } from '../options.ts';
import type { KafkaTopology, QueueLayout } from '../topology/topology.ts';
import type { Assignment } from './assignment.ts';
import { Backpressure } from './backpressure.ts';
import type { Copies } from './copies.ts';
import { KafkaDelivery } from './delivery.ts';
import { EndOfQueue } from './end-of-queue.ts';
import { Membership } from './membership.ts';
import { Progress } from './progress.ts';
import { ReadAgain } from './read-again.ts';
import { pauseAfterFailureMs, Settling } from './settling.ts';
import { standingOf } from './standing.ts';
import type { KafkaSubscription } from './subscription.ts';

/** What a queue consumer works with. */
export interface QueueConsumerContext {
  readonly client: KafkaClient;
  readonly topology: KafkaTopology;
  readonly settings: KafkaSettings;
  readonly copies: (layout: () => QueueLayout) => Copies;
  readonly logger: Logger;
  /** Called when the consumer has left its group for good. */
  readonly onClosed: (consumer: QueueConsumer) => void;
}

/** After so many deliveries the rest of the process has its turn. */
const deliveriesPerTurn = 256;

/** The one member that this process is of a queue's group, and the subscriptions that it serves. */
export class QueueConsumer {
  readonly queue: string;
  readonly #context: QueueConsumerContext;
  readonly #settling: Settling;
  readonly #progress: Progress;
  readonly #membership: Membership;
  readonly #backpressure: Backpressure;
  readonly #subscriptions: KafkaSubscription[] = [];
  readonly #end: EndOfQueue;
  #pumpIsDue = false;
  /** Since the last turn. */
  #hasFinished = false;
  #closing: Promise<void> | undefined;

  constructor(queue: string, layout: QueueLayout, context: QueueConsumerContext) {
    this.queue = queue;
    this.#context = context;
    const { client, topology, settings, logger } = context;
    this.#progress = new Progress(queue, settings);
    const again = new ReadAgain(queue, client, this.#progress, logger);
    this.#membership = new Membership(layout, {
      queue,
      client,
      topology,
      settings,
      logger,
      progress: this.#progress,
      onReady: () => this.#schedulePump(),
      readAgain: async (assignment, entry) => {
        const records = await again.read(assignment, entry);
        // One that is there no more is finished.
        if (records.length === 0) this.#membership.isDirty();
        return records;
      },
      room: (assignment, tracker) => this.#backpressure.room(assignment, tracker),
      onArrived: (assignment) => this.#madeRoom(assignment),
      onGone: (error) => this.#endThoseUntilEmpty(error),
      onLost: (assignment) => this.#backpressure.release(assignment),
    });
    const copies = context.copies(() => this.#membership.layout);
    this.#settling = new Settling(queue, copies, this.#progress, logger, {
      deadLetterQueue: () => this.#membership.layout.deadLetterQueue,
      onFinished: () => {
        this.#hasFinished = true;
        this.#membership.isDirty();
      },
      onRoom: () => this.#schedulePump(),
    });
    this.#backpressure = new Backpressure(
      queue,
      settings.maxTrackedOffsets,
      copies,
      () => this.#membership.member,
      () => this.#membership.isDirty(),
    );
    this.#end = new EndOfQueue(queue, client, this.#subscriptions, () => this.#membership.assignment);
  }

  /** Whether it takes no more subscriptions. */
  get closing(): Promise<void> | undefined {
    return this.#closing;
  }

  /** Whether it waits to join the group. */
  get isGone(): boolean {
    return this.#membership.member === undefined;
  }

  get unsettled(): number {
    return this.#subscriptions.reduce((sum, { unsettled }) => sum + unsettled, 0);
  }

  health(): Health {
    const { assignment } = this.#membership;
    const { stalledAfterMs, maxTrackedOffsets } = this.#context.settings;
    const standing = assignment && standingOf(assignment, stalledAfterMs, maxTrackedOffsets);
    return this.#progress.health(assignment?.lag ?? 0, standing);
  }

  /** Joins the group, in the background. */
  start(): void {
    this.#membership.start();
  }

  add(subscription: KafkaSubscription): void {
    this.#subscriptions.push(subscription);
    if (subscription.untilEmpty) this.#end.look();
    this.#schedulePump();
  }

  /** A subscription takes no more, or has room again. */
  onChange(subscription: KafkaSubscription): void {
    if (!subscription.isOpen && subscription.unsettled === 0) {
      const index = this.#subscriptions.indexOf(subscription);
      if (index >= 0) this.#subscriptions.splice(index, 1);
      if (this.#subscriptions.length === 0) void this.close();
    }
    this.#schedulePump();
  }

  /** Reads the topics of the queue as they are now. */
  reread(): Promise<void> {
    return this.#membership.reread();
  }

  flush(): Promise<void> {
    return this.#membership.flush();
  }

  /** Leaves the group when everything handed over is finished. What was not handed over is still at the broker. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Deletes the queue. Subscriptions wait for it to be declared again, but for those that end when it is empty. */
  async whileGone(deletion: () => Promise<void>): Promise<void> {
    await this.#membership.standDown();
    const error = new QueueNotFoundError(this.queue);
    try {
      await deletion();
    } finally {
      this.#membership.onCrash(error);
    }
  }

  #endThoseUntilEmpty(error: MelangeError): void {
    for (const subscription of [...this.#subscriptions]) if (subscription.untilEmpty) subscription.end(error);
  }

  /** As `close`, without waiting for handlers; ends the subscriptions. */
  async abandon(): Promise<void> {
    const { assignment } = this.#membership;
    const subscriptions = [...this.#subscriptions];
    const closed = this.close();
    for (const subscription of subscriptions) subscription.end();
    for (const delivery of assignment?.busy.all() ?? [])
      if (delivery.lose('shutdown', 'The backend was closed.')) this.#settling.leaveBusy(delivery);
    await closed;
  }

  #madeRoom(assignment: Assignment): void {
    this.#backpressure.apply(assignment);
    this.#schedulePump();
  }

  // ---- handing over

  #schedulePump(): void {
    if (this.#pumpIsDue) return;
    this.#pumpIsDue = true;
    // Not in this turn: whoever gives everything back must not have the event loop to itself.
    setImmediate(() => {
      this.#pumpIsDue = false;
      if (this.#hasFinished) this.#progress.made();
      this.#hasFinished = false;
      this.#pump();
    });
  }

  #pump(): void {
    const { assignment } = this.#membership;
    if (assignment === undefined || assignment.isLost || !this.#membership.isTrusted()) return;
    // Once for all that were finished since.
    this.#backpressure.apply(assignment);
    void this.#readySuspect(assignment);
    for (let handedOver = 0; handedOver < deliveriesPerTurn; handedOver += 1) {
      const subscription = this.#subscriptions.find(({ hasRoom }) => hasRoom);
      if (subscription === undefined) return;
      const entry = assignment.take();
      if (entry === undefined) {
        void this.#readySuspect(assignment);
        return;
      }
      this.#servedNow(subscription);
      const delivery = new KafkaDelivery(entry, assignment, this.#settling, subscription);
      assignment.busy.add(delivery);
      subscription.delivering();
      this.#handOver(subscription, delivery);
      if (assignment.isLost) return;
    }
    this.#schedulePump();
  }

  /** What ran before is committed together with what runs next, so that a process that ends says which one it was. */
  async #readySuspect(assignment: Assignment): Promise<void> {
    const entry = assignment.chooseSuspect();
    if (entry === undefined) return;
    entry.tracker.crashes.runAlone(entry.offset);
    await this.#membership.commitBefore(entry.tracker);
    if (assignment.isLost) return;
    assignment.suspects.ready(entry);
    this.#schedulePump();
  }

  /** Behind the other subscriptions, so that none takes everything. */
  #servedNow(subscription: KafkaSubscription): void {
    if (this.#subscriptions.length === 1) return;
    this.#subscriptions.splice(this.#subscriptions.indexOf(subscription), 1);
    this.#subscriptions.push(subscription);
  }

  #handOver(subscription: KafkaSubscription, delivery: Delivery): void {
    try {
      subscription.receive(delivery);
    } catch (error) {
      const facts = { queue: this.queue, messageId: delivery.message.id, error };
      this.#context.logger.error('A receiver threw; its message comes again', facts);
      // It may have settled the delivery before it threw: then that counts.
      delivery.retry({ delayMs: pauseAfterFailureMs, because: 'not-run' }).catch(() => undefined);
    }
  }

  async #close(): Promise<void> {
    this.#end.stop();
    await this.#membership.leave();
    this.#context.onClosed(this);
  }
}
