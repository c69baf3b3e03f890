import { type Delivery, type Health, type Logger, QueueNotFoundError } from '@melange/core';
import { Assignment, type Entry } from './assignment.ts';
import { CommitLoop } from './commit-loop.ts';
import { finishedBeyond } from './finished-offsets.ts';
import type { GroupListener, GroupMember, KafkaClient } from './kafka-client.ts';
import { KafkaDelivery, type Settlements } from './kafka-delivery.ts';
import { type IncomingRecord, manifestOf } from './kafka-message-mapper.ts';
import type { KafkaSettings } from './kafka-options.ts';
import type { KafkaSubscription } from './kafka-subscription.ts';
import type { KafkaTopology, QueueLayout } from './kafka-topology.ts';
import { retryTopicOf } from './kafka-topology.ts';
import { PartitionTracker } from './partition-tracker.ts';
import { Progress } from './progress.ts';

/** What becomes of deliveries, as their queue consumer needs it. */
export interface Copies {
  /** Confirmed in the retry topic when it resolves. */
  retry(delivery: KafkaDelivery, delayMs: number): Promise<void>;
  /** Confirmed in the dead-letter queue when it resolves. */
  deadLetter: Settlements['deadLetter'];
  /** The same record once more at the end of the retry topic. */
  postpone(entry: Entry): Promise<void>;
}

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

/** Records at hand beyond which no more are fetched. */
const mostBuffered = 1_000;
const pauseAfterFailureMs = 1_000;
const longestPauseMs = 10_000;
const longestWaitForCopiesMs = 5_000;
const longestWaitForCommitMs = 2_000;
const watchEveryMs = 1_000;
const lookForEndEveryMs = 50;
/** Bindings that another process made are seen after so long. */
const refreshEveryMs = 15_000;
/** After so many deliveries the rest of the process has its turn. */
const deliveriesPerTurn = 256;

/** The one member that this process is of a queue's group, and the subscriptions that it serves. */
export class QueueConsumer implements GroupListener, Settlements {
  readonly queue: string;
  readonly #context: QueueConsumerContext;
  readonly #copies: Copies;
  readonly #commits: CommitLoop;
  readonly #progress: Progress;
  readonly #subscriptions: KafkaSubscription[] = [];
  #layout: QueueLayout;
  #member: GroupMember | undefined;
  #assignment: Assignment | undefined;
  /** Resolves when the assignment knows what was committed. */
  #loading: Promise<void> = Promise.resolve();
  #isDraining = false;
  #pumpIsDue = false;
  #closing: Promise<void> | undefined;
  #onIdle: (() => void) | undefined;
  #failures = 0;
  #refreshedAt = Date.now();
  #watch: NodeJS.Timeout | undefined;
  #lookForEnd: NodeJS.Timeout | undefined;
  #restarting: NodeJS.Timeout | undefined;

  constructor(queue: string, layout: QueueLayout, context: QueueConsumerContext) {
    this.queue = queue;
    this.#layout = layout;
    this.#context = context;
    this.#copies = context.copies(() => this.#layout);
    this.#progress = new Progress(queue, context.settings);
    this.#commits = new CommitLoop(context.settings.commitIntervalMs, (commits) => {
      return this.#member?.commit(commits) ?? Promise.resolve();
    });
  }

  get deadLetterQueue(): string | undefined {
    return this.#layout.deadLetterQueue;
  }

  /** Whether it takes no more subscriptions. */
  get closing(): Promise<void> | undefined {
    return this.#closing;
  }

  get unsettled(): number {
    return this.#subscriptions.reduce((sum, { unsettled }) => sum + unsettled, 0);
  }

  health(): Health {
    return this.#progress.health(this.#assignment?.lag ?? 0);
  }

  /** Joins the group, in the background and again and again until it is in it. */
  start(): void {
    this.#join().catch((error) => this.onCrash(error));
    this.#watch = setInterval(() => this.#look(), watchEveryMs);
  }

  add(subscription: KafkaSubscription): void {
    this.#subscriptions.push(subscription);
    if (subscription.untilEmpty) this.#lookForTheEnd();
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
  async reread(): Promise<void> {
    this.#refreshedAt = Date.now();
    const before = this.#layout.topics;
    this.#layout = await this.#context.topology.layoutOf(this.queue);
    const isSame = this.#layout.topics.join() === before.join();
    if (isSame || this.#closing !== undefined || this.#member === undefined) return;
    // kafkajs reads other topics only as another member.
    await this.beforeJoin();
    const member = this.#member;
    this.#member = undefined;
    await member?.stop();
    if (this.#assignment !== undefined)
      this.#lose(this.#assignment, 'partition-revoked', 'The queue reads other topics now.');
    if (this.#closing === undefined) await this.#join().catch((error) => this.onCrash(error));
  }

  flush(): Promise<void> {
    return this.#commits.flush();
  }

  /** Leaves the group when everything handed over is finished. What was not handed over is still at the broker. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** As `close`, without waiting for handlers; ends the subscriptions. */
  async abandon(error?: Error): Promise<void> {
    const assignment = this.#assignment;
    const subscriptions = [...this.#subscriptions];
    const closed = this.close();
    for (const subscription of subscriptions) subscription.end(error);
    for (const delivery of [...(assignment?.busy ?? [])])
      if (delivery.lose('shutdown', 'The backend was closed.')) this.#leaveBusy(delivery);
    await closed;
  }

  // ---- what the group says

  /** Drains: what is not finished by the deadline is aborted, and comes again to whoever gets the partition. */
  async beforeJoin(): Promise<void> {
    this.#progress.isAlive();
    const assignment = this.#assignment;
    if (assignment === undefined) return;
    this.#isDraining = true;
    assignment.drop();
    const { revocationDeadlineMs } = this.#context.settings;
    await this.#idle(assignment, revocationDeadlineMs);
    await this.#commits.settle(longestWaitForCommitMs);
    this.#lose(
      assignment,
      'partition-revoked',
      `Not finished within ${revocationDeadlineMs} ms of a rebalance.`,
    );
    this.#progress.isAlive();
  }

  onAssigned(assignment: Readonly<Record<string, readonly number[]>>): void {
    this.#failures = 0;
    this.#progress.isAlive();
    this.#progress.recovered();
    if (this.#closing !== undefined) return;
    this.#loading = this.#load(assignment);
    // Whoever needs it awaits it; nobody may be there yet.
    this.#loading.catch(() => undefined);
  }

  async onRecords(
    topic: string,
    partition: number,
    records: readonly IncomingRecord[],
    lastOffset: number,
    highWatermark: number,
  ): Promise<void> {
    this.#progress.isAlive();
    await this.#loading;
    const assignment = this.#assignment;
    const tracker = assignment?.tracker(topic, partition);
    if (assignment === undefined || tracker === undefined || assignment.isLost) return;
    if (highWatermark < tracker.position) {
      const facts = { queue: this.queue, topic, partition };
      this.#context.logger.warn(
        'A topic was made anew or cut off: its records are read from the start',
        facts,
      );
      tracker.restart();
    }
    if (assignment.lag === 0) this.#progress.made();
    tracker.highWatermark = highWatermark;
    for (const record of records) {
      if (!tracker.receive(record.offset)) continue;
      if (this.#isWanted(record)) assignment.add(record, tracker);
      else tracker.finish(record.offset);
    }
    tracker.passOver(lastOffset);
    this.#commits.isDirty();
    this.#holdBack(assignment);
    this.#schedulePump();
  }

  onHeartbeat(): void {
    this.#progress.isAlive();
  }

  onCrash(error: unknown): void {
    const { logger } = this.#context;
    const member = this.#member;
    this.#member = undefined;
    if (this.#assignment !== undefined)
      this.#lose(this.#assignment, 'connection-lost', 'The connection to Kafka was lost.');
    if (this.#closing !== undefined) return;
    const reason = error instanceof Error ? error.message : String(error);
    this.#progress.failed(reason);
    this.#failures += 1;
    const delayMs = Math.min(longestPauseMs, 250 * 2 ** this.#failures) * (0.5 + Math.random() / 2);
    logger.warn('Stopped receiving; joining the group again', { queue: this.queue, reason, delayMs });
    clearTimeout(this.#restarting);
    this.#restarting = setTimeout(() => {
      this.#joinAgain(member).catch((again) => this.onCrash(again));
    }, delayMs);
  }

  async #joinAgain(former: GroupMember | undefined): Promise<void> {
    await former?.stop();
    // A topic that is gone may be the reason.
    const layout = await this.#context.topology.layoutOf(this.queue);
    if (this.#closing !== undefined) return;
    this.#layout = layout;
    await this.#join();
  }

  // ---- what becomes of deliveries

  finish(delivery: KafkaDelivery): void {
    delivery.assignment.finish(delivery.entry);
    this.#progress.made();
    this.#commits.isDirty();
    this.#leaveBusy(delivery);
  }

  putBack(delivery: KafkaDelivery): void {
    delivery.assignment.putBack(delivery.entry);
    this.#leaveBusy(delivery);
  }

  retry(delivery: KafkaDelivery, delayMs: number): Promise<void> {
    return this.#copied(delivery, 'retry', this.#copies.retry(delivery, delayMs));
  }

  deadLetter: Settlements['deadLetter'] = (delivery, options) => {
    return this.#copied(delivery, 'dead-letter', this.#copies.deadLetter(delivery, options));
  };

  /** The record is finished here only when its copy is confirmed there. */
  async #copied(delivery: KafkaDelivery, kind: string, copying: Promise<void>): Promise<void> {
    try {
      await copying;
    } catch (error) {
      const facts = { queue: this.queue, messageId: delivery.message.id, error };
      this.#context.logger.warn(`A ${kind} copy was not confirmed; the message comes again`, facts);
      this.#progress.copyFailed(error);
      setTimeout(() => {
        delivery.assignment.putBack(delivery.entry);
        this.#schedulePump();
      }, pauseAfterFailureMs);
      this.#leaveBusy(delivery);
      throw error;
    }
    this.#progress.copySucceeded();
    this.finish(delivery);
  }

  #leaveBusy(delivery: KafkaDelivery): void {
    const { assignment } = delivery;
    assignment.busy.delete(delivery);
    if (assignment.busy.size === 0) this.#onIdle?.();
    if (assignment === this.#assignment) this.#holdBack(assignment);
    this.#schedulePump();
  }

  // ---- handing over

  #schedulePump(): void {
    if (this.#pumpIsDue) return;
    this.#pumpIsDue = true;
    // Not in this turn: whoever gives everything back must not have the event loop to itself.
    setImmediate(() => {
      this.#pumpIsDue = false;
      this.#pump();
    });
  }

  #pump(): void {
    const assignment = this.#assignment;
    if (assignment === undefined || assignment.isLost || this.#isDraining) return;
    for (let handedOver = 0; handedOver < deliveriesPerTurn; handedOver += 1) {
      const subscription = this.#subscriptions.find(({ hasRoom }) => hasRoom);
      if (subscription === undefined) return;
      const entry = assignment.take();
      if (entry === undefined) return;
      // Behind the other subscriptions, so that none takes everything.
      this.#subscriptions.splice(this.#subscriptions.indexOf(subscription), 1);
      this.#subscriptions.push(subscription);
      const delivery = new KafkaDelivery(entry, assignment, this, subscription);
      assignment.busy.add(delivery);
      subscription.delivering();
      this.#handOver(subscription, delivery);
      if (assignment.isLost) return;
    }
    this.#schedulePump();
  }

  #handOver(subscription: KafkaSubscription, delivery: Delivery): void {
    try {
      subscription.receive(delivery);
    } catch (error) {
      const facts = { queue: this.queue, messageId: delivery.message.id, error };
      this.#context.logger.error('A receiver threw; its message comes again', facts);
      // It may have settled the delivery before it threw: then that counts.
      delivery.retry({ delayMs: pauseAfterFailureMs }).catch(() => undefined);
    }
  }

  #isWanted(record: IncomingRecord): boolean {
    const binding = this.#layout.bindings.get(record.topic);
    if (binding === undefined) return true;
    if (record.offset < (binding.from[record.partition] ?? 0)) return false;
    return binding.filter === null || binding.filter.includes(manifestOf(record));
  }

  /** Backpressure: fetches no more of a partition while too much of it is at hand or unfinished. */
  #holdBack(assignment: Assignment): void {
    const { maxTrackedOffsets } = this.#context.settings;
    const tooMuch = assignment.buffered >= mostBuffered;
    const little = assignment.buffered <= mostBuffered / 2;
    for (const tracker of assignment.trackers.values()) {
      const { topic, partition, isPaused } = tracker;
      if (!isPaused && (tooMuch || tracker.size >= maxTrackedOffsets)) {
        tracker.isPaused = true;
        this.#member?.pause(topic, partition);
        if (!tooMuch && topic === retryTopicOf(this.queue)) void this.#postpone(assignment, tracker);
      } else if (isPaused && little && tracker.size <= maxTrackedOffsets * 0.8) {
        tracker.isPaused = false;
        this.#member?.resume(topic, partition);
      }
    }
  }

  /** What waits for long must not keep what is due sooner from being read: it goes to the end of its topic. */
  async #postpone(assignment: Assignment, tracker: PartitionTracker): Promise<void> {
    const postponed = assignment.takeWaiting(tracker, Date.now() + 2_000);
    await Promise.all(
      postponed.map(async (entry) => {
        try {
          await this.#copies.postpone(entry);
          tracker.finish(entry.record.offset);
        } catch {
          if (!assignment.isLost) assignment.add(entry.record, tracker);
        }
      }),
    );
    this.#commits.isDirty();
    if (assignment === this.#assignment) this.#holdBack(assignment);
  }

  // ---- the member and its partitions

  async #join(): Promise<void> {
    const { client } = this.#context;
    const isCurrent = (): boolean => this.#member === member;
    const member = client.join(this.queue, this.#layout.topics, {
      beforeJoin: async () => {
        if (isCurrent()) await this.beforeJoin();
      },
      onAssigned: (assignment) => isCurrent() && this.onAssigned(assignment),
      onRecords: async (...given) => {
        if (isCurrent()) await this.onRecords(...given);
      },
      onHeartbeat: () => isCurrent() && this.onHeartbeat(),
      onCrash: (error) => isCurrent() && this.onCrash(error),
    });
    this.#member = member;
    this.#progress.isAlive();
    await member.start();
  }

  async #load(assigned: Readonly<Record<string, readonly number[]>>): Promise<void> {
    const topics = Object.keys(assigned);
    const commits = topics.length === 0 ? [] : await this.#context.client.committedBy(this.queue, topics);
    const trackers = new Map<string, PartitionTracker>();
    for (const { topic, partition, offset, metadata } of commits) {
      if (assigned[topic]?.includes(partition) !== true) continue;
      const start = Math.max(0, offset);
      const tracker = new PartitionTracker(topic, partition, start, finishedBeyond(metadata, start));
      trackers.set(`${topic}/${partition}`, tracker);
    }
    this.#assignment = new Assignment(trackers, () => this.#schedulePump());
    this.#commits.follow(this.#assignment);
    this.#isDraining = false;
    this.#schedulePump();
  }

  #lose(assignment: Assignment, reason: 'partition-revoked' | 'connection-lost', why: string): void {
    assignment.drop();
    for (const delivery of assignment.busy) delivery.lose(reason, why);
    assignment.busy.clear();
    this.#onIdle?.();
    for (const { isPaused, topic, partition } of assignment.trackers.values())
      if (isPaused) this.#member?.resume(topic, partition);
    if (this.#assignment !== assignment) return;
    this.#assignment = undefined;
    this.#commits.follow(undefined);
  }

  #idle(assignment: Assignment, deadlineMs?: number): Promise<void> {
    if (assignment.busy.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const others = this.#onIdle;
      const done = (): void => {
        clearTimeout(timer);
        this.#onIdle = undefined;
        others?.();
        resolve();
      };
      const timer = deadlineMs === undefined ? undefined : setTimeout(done, deadlineMs);
      this.#onIdle = done;
    });
  }

  /** Whatever ends kafkajs without a word is found here. */
  #look(): void {
    const silentMs = this.#progress.silentMs;
    if (this.#member !== undefined && silentMs > this.#context.settings.sessionTimeoutMs * 2)
      this.onCrash(new Error(`no sign of life of the consumer for ${Math.round(silentMs / 1_000)} s`));
    else if (Date.now() - this.#refreshedAt > refreshEveryMs)
      this.reread().catch((error) => this.#context.logger.debug('The topology was not read', { error }));
  }

  // ---- the end

  #lookForTheEnd(): void {
    if (this.#lookForEnd !== undefined) return;
    this.#lookForEnd = setTimeout(async () => {
      const isEmpty = await this.#isEmpty().catch((error: unknown) => error as Error);
      this.#lookForEnd = undefined;
      const enders = this.#subscriptions.filter(({ untilEmpty, isOpen }) => untilEmpty && isOpen);
      if (isEmpty === true) for (const subscription of enders) subscription.end();
      else if (isEmpty instanceof QueueNotFoundError)
        for (const subscription of enders) subscription.end(isEmpty);
      else if (enders.length > 0) this.#lookForTheEnd();
    }, lookForEndEveryMs);
  }

  /** Whether the broker has nothing more for this process now. */
  async #isEmpty(): Promise<boolean> {
    const assignment = this.#assignment;
    if (assignment === undefined || assignment.isLost || assignment.buffered > 0) return false;
    const { client } = this.#context;
    for (const topic of new Set([...assignment.trackers.values()].map((tracker) => tracker.topic))) {
      const ranges = await client.rangesOf(topic);
      if (ranges === undefined && topic === this.queue) throw new QueueNotFoundError(topic);
      for (const [partition, { low, high }] of ranges ?? []) {
        const tracker = assignment.tracker(topic, partition);
        if (tracker !== undefined && Math.max(low, tracker.position) < high) return false;
      }
    }
    return assignment === this.#assignment && assignment.buffered === 0;
  }

  async #close(): Promise<void> {
    clearInterval(this.#watch);
    clearTimeout(this.#lookForEnd);
    clearTimeout(this.#restarting);
    const assignment = this.#assignment;
    if (assignment !== undefined) {
      assignment.drop();
      // Copies of settled deliveries are under way: what they stand for is finished when they are confirmed.
      await this.#idle(assignment, longestWaitForCopiesMs);
      await this.#commits.settle(longestWaitForCommitMs);
    }
    await this.#commits.close();
    const member = this.#member;
    this.#member = undefined;
    await member?.stop();
    this.#context.onClosed(this);
  }
}
