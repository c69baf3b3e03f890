import type { Intake, SubscriptionContext, Troubles } from '@melange/backend-kit';
import { type Logger, type MelangeError, QueueNotFoundError } from '@melange/core';
import type { KafkaClient } from '../client/index.ts';
import type { KafkaSettings } from '../options.ts';
import type { QueueLayout, Topology } from '../topology/topology.ts';
import type { Assignment } from './assignment.ts';
import { Backpressure } from './backpressure.ts';
import { Copies, type PublishCopy } from './copies.ts';
import { EndOfQueue } from './end-of-queue.ts';
import { type LossReason, Membership } from './membership.ts';
import { Progress } from './progress.ts';
import { QueueIntake, type QueueRecord } from './queue-intake.ts';
import { ReadAgain } from './read-again.ts';
import { Receiving } from './receiving.ts';

/** What the consumers of queues work with. */
export interface ConsumerContext {
  readonly client: KafkaClient;
  readonly topology: Topology;
  readonly settings: KafkaSettings;
  readonly logger: Logger;
  readonly troubles: Troubles;
  readonly publishCopy: PublishCopy;
}

/** After so many records the rest of the process has its turn. */
const recordsPerTurn = 256;

/** The one member that this process is of a queue's group, and the intakes that it serves: within a process they compete without a rebalance. */
export class QueueConsumer {
  readonly queue: string;
  readonly #copies: Copies;
  readonly #logger: Logger;
  readonly #progress: Progress;
  readonly #membership: Membership;
  readonly #receiving: Receiving;
  readonly #backpressure: Backpressure;
  readonly #intakes: QueueIntake[] = [];
  readonly #end: EndOfQueue;
  #isPumpDue = false;
  /** Since the last turn. */
  #hasFinished = false;
  #closing: Promise<void> | undefined;
  readonly #onLeft: () => void;

  /** @param onLeft called when it has left its group for good. */
  constructor(queue: string, layout: QueueLayout, context: ConsumerContext, onLeft: () => void) {
    this.queue = queue;
    this.#onLeft = onLeft;
    const { client, topology, settings, logger, troubles, publishCopy } = context;
    this.#logger = logger;
    this.#copies = new Copies(queue, publishCopy);
    this.#progress = new Progress(queue, settings, troubles);
    const again = new ReadAgain(queue, client, this.#progress, logger);
    this.#receiving = new Receiving({
      ...{ queue, client, settings, logger },
      progress: this.#progress,
      membership: () => this.#membership,
      readAgain: async (assignment, entry) => {
        const records = await again.read(assignment, entry);
        // A record that was deleted is finished.
        if (records.length === 0) this.#membership.markDirty();
        return records;
      },
      onReady: () => this.#pumpSoon(),
      onArrived: (assignment) => this.#arrived(assignment),
    });
    this.#membership = new Membership(layout, {
      ...{ queue, client, topology, settings, logger },
      progress: this.#progress,
      load: (assigned, read) => this.#receiving.load(assigned, read),
      onAssigned: (assignment, session) => this.#receiving.begin(assignment, session),
      onGone: (error) => this.#onGone(error),
      onLost: (assignment, reason, why) => this.#onLost(assignment, reason, why),
    });
    this.#backpressure = new Backpressure(queue, settings.maxTrackedOffsets, this.#copies, {
      onResumed: () => this.#receiving.wake(),
      onFinished: () => this.#membership.markDirty(),
    });
    this.#end = new EndOfQueue(queue, client, this.#intakes, () => this.#membership.assignment);
  }

  /** Set when it takes no more intakes; resolves when it has left its group. */
  get closing(): Promise<void> | undefined {
    return this.#closing;
  }

  /** Whether it waits to join the group. */
  get isGone(): boolean {
    return this.#membership.state === 'out';
  }

  get unsettled(): number {
    return this.#intakes.reduce((sum, { unsettled }) => sum + unsettled, 0);
  }

  /** Joins the group, in the background. */
  start(): void {
    this.#membership.start();
  }

  open(context: SubscriptionContext, intake: Intake<QueueRecord>): QueueIntake {
    const opened = new QueueIntake(context, intake, {
      copies: this.#copies,
      onFinished: () => {
        this.#hasFinished = true;
        this.#membership.markDirty();
      },
      onRoom: () => this.#pumpSoon(),
      // Others may hand over what it would have been handed.
      onStopped: () => this.#pumpSoon(),
      onClosed: (closed) => this.#onClosed(closed),
      onKept: (messageId) =>
        this.#logger.warn('a message is too large for a copy in the retry topic; it waits in this process', {
          queue: this.queue,
          messageId,
        }),
    });
    this.#intakes.push(opened);
    if (opened.untilEmpty) this.#end.look();
    this.#pumpSoon();
    return opened;
  }

  /** Reads the topics of the queue as they are now. */
  reread(): Promise<void> {
    return this.#membership.reread();
  }

  /** Commits what is finished. */
  flush(): Promise<void> {
    return this.#membership.flush();
  }

  /** Deletes the queue. Intakes wait for it to be declared again, but for those that end when it is empty. */
  async whileGone(deletion: () => Promise<void>): Promise<void> {
    await this.#membership.standDown();
    try {
      await deletion();
    } finally {
      this.#membership.onCrash(new QueueNotFoundError(this.queue));
    }
  }

  /** Leaves the group when everything handed over is finished. Records that were not handed over are still at the broker. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#end.stop();
    await this.#membership.leave();
    this.#onLeft();
  }

  async #onClosed(intake: QueueIntake): Promise<void> {
    const place = this.#intakes.indexOf(intake);
    if (place >= 0) this.#intakes.splice(place, 1);
    if (this.#intakes.length === 0) await this.close();
  }

  #onGone(error: MelangeError): void {
    for (const intake of [...this.#intakes]) if (intake.untilEmpty && intake.isOpen) intake.gone(error);
  }

  #onLost(assignment: Assignment, reason: LossReason, why: string): void {
    this.#receiving.wake();
    const lost = new Map<QueueIntake, QueueRecord[]>();
    for (const taken of assignment.busy.all() as Iterable<QueueRecord>) {
      const ofIntake = lost.get(taken.intake);
      if (ofIntake === undefined) lost.set(taken.intake, [taken]);
      else ofIntake.push(taken);
    }
    for (const [intake, taken] of lost) intake.takenBack(taken, why, reason);
  }

  #arrived(assignment: Assignment): void {
    this.#backpressure.apply(assignment);
    this.#pumpSoon();
  }

  #pumpSoon(): void {
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    // Not in this turn: a receiver that gives everything back must not keep the event loop to itself.
    setImmediate(() => {
      this.#isPumpDue = false;
      if (this.#hasFinished) this.#progress.markProgress();
      this.#hasFinished = false;
      this.#pump();
    });
  }

  #pump(): void {
    const { assignment } = this.#membership;
    if (assignment === undefined || assignment.isLost || !this.#membership.isTrusted()) return;
    // Once for all records that were finished since.
    this.#backpressure.apply(assignment);
    void this.#readySuspect(assignment);
    for (let handedOver = 0; handedOver < recordsPerTurn; handedOver += 1) {
      const intake = this.#intakes.find(({ hasRoom }) => hasRoom);
      if (intake === undefined) return;
      const entry = assignment.take();
      if (entry === undefined) {
        void this.#readySuspect(assignment);
        return;
      }
      this.#servedNow(intake);
      intake.handOver(entry, assignment);
      if (assignment.isLost) return;
    }
    this.#pumpSoon();
  }

  /** What ran before is committed together with what runs next, so that a process that ends says which record it was. */
  async #readySuspect(assignment: Assignment): Promise<void> {
    const entry = assignment.chooseSuspect();
    if (entry === undefined) return;
    entry.tracker.crashes.runAlone(entry.offset);
    await this.#membership.commitBefore(entry.tracker);
    if (assignment.isLost) return;
    assignment.suspects.ready(entry);
    this.#pumpSoon();
  }

  /** Behind the other intakes, so that none takes everything. */
  #servedNow(intake: QueueIntake): void {
    if (this.#intakes.length === 1) return;
    this.#intakes.splice(this.#intakes.indexOf(intake), 1);
    this.#intakes.push(intake);
  }
}
