import { randomBytes } from 'node:crypto';
import { reconnectDelayMs } from '@melange/backend-kit';
import { type Logger, MelangeError } from '@melange/core';
import type { GroupListener, GroupMember, KafkaClient } from '../client/index.ts';
import type { KafkaSettings } from '../options.ts';
import { isWanted, type QueueLayout, type Topology } from '../topology/topology.ts';
import type { IncomingRecord } from '../wire/message.ts';
import { Assignment, type ReadAgain } from './assignment.ts';
import { CommitLoop } from './commit-loop.ts';
import { MissingRecords } from './missing-records.ts';
import { type PartitionTracker, trackerFrom } from './partition-tracker.ts';
import type { Progress } from './progress.ts';

/** Why deliveries are aborted with their partitions. */
export type LossReason = 'partition-revoked' | 'connection-lost';

/** What a membership works with. */
export interface MembershipContext {
  readonly queue: string;
  readonly client: KafkaClient;
  readonly topology: Pick<Topology, 'layoutOf'>;
  readonly settings: KafkaSettings;
  readonly progress: Progress;
  readonly logger: Logger;
  /** Records may be there to hand over. */
  readonly onReady: () => void;
  readonly readAgain: ReadAgain;
  /** To be awaited before records are taken in. */
  readonly room: (assignment: Assignment, tracker: PartitionTracker) => Promise<void>;
  /** Records arrived. */
  readonly onArrived: (assignment: Assignment) => void;
  /** The queue was not there when the group was to be joined. */
  readonly onGone: (error: MelangeError) => void;
  /** The partitions of an assignment are somebody else's now. */
  readonly onLost: (assignment: Assignment, reason: LossReason, why: string) => void;
}

const maxWaitForCopiesMs = 5_000;
const maxWaitForCommitMs = 2_000;
const watchEveryMs = 1_000;
/** By which this process knows what it has written itself. */
const thisProcess = randomBytes(4).toString('hex');
/** A member that lived this long did not die of what killed the one before it. */
const steadyAfterMs = 10_000;

/** Keeps this process a member of a queue's group, and knows which partitions that gives it. */
export class Membership implements GroupListener {
  readonly #context: MembershipContext;
  readonly #commits: CommitLoop;
  readonly #missing: MissingRecords;
  #layout: QueueLayout;
  #member: GroupMember | undefined;
  #assignment: Assignment | undefined;
  /** Resolves when the assignment knows what was committed. */
  #loading: Promise<void> = Promise.resolve();
  #isLeaving = false;
  #failures = 0;
  #assignedAt = Number.POSITIVE_INFINITY;
  /** When the group last heard of this process, as far as it has confirmed that. */
  #heardAt = Number.POSITIVE_INFINITY;
  #refreshedAt = performance.now();
  /** Joining and leaving, one after the other: two members of one process would take each other's partitions. */
  #changing: Promise<void> = Promise.resolve();
  #watch: NodeJS.Timeout | undefined;
  #restarting: NodeJS.Timeout | undefined;

  constructor(layout: QueueLayout, context: MembershipContext) {
    this.#layout = layout;
    this.#context = context;
    const { client, settings, progress, logger, queue } = context;
    this.#missing = new MissingRecords(queue, client, progress, logger);
    this.#commits = new CommitLoop(settings.commitIntervalMs, {
      commit: (commits) => this.#member?.commit(commits) ?? Promise.resolve(),
      onCommitted: () => progress.committed(),
      onFailed: (error) => progress.commitFailed(error),
      onFenced: (assignment) =>
        this.#lose(assignment, 'partition-revoked', 'The group went on without this process.'),
    });
  }

  get layout(): QueueLayout {
    return this.#layout;
  }

  get member(): GroupMember | undefined {
    return this.#member;
  }

  /** The partitions of the moment, if there are any. */
  get assignment(): Assignment | undefined {
    return this.#assignment;
  }

  /** Joins the group, in the background and again and again until it is in it. */
  start(): void {
    void this.#inTurn(async () => this.#join());
    this.#watch = setInterval(() => this.#look(), watchEveryMs);
  }

  /** Something was finished: it is committed soon. */
  markDirty(): void {
    this.#commits.markDirty();
  }

  /** Commits now. */
  flush(): Promise<void> {
    return this.#commits.flush();
  }

  /** Commits a partition before something begins that may end the process. Waits for a broker that takes no commit, but not for ever. */
  commitBefore(tracker: PartitionTracker): Promise<void> {
    tracker.markDirty();
    return this.#commits.untilCommitted(tracker, maxWaitForCommitMs);
  }

  /** Reads the topics of the queue as they are now. */
  async reread(): Promise<void> {
    this.#refreshedAt = performance.now();
    const layout = await this.#context.topology.layoutOf(this.#context.queue);
    const before = this.#layout.topics;
    this.#layout = layout;
    if (this.#member === undefined && !this.#isLeaving) await this.#inTurn(() => this.#joinAgain(undefined));
    if (layout.topics.join() !== before.join()) await this.#inTurn(() => this.#replace());
  }

  /** The queue is about to be deleted: the group is left until `gone` is told, and then joined as soon as there is a queue again. */
  async standDown(): Promise<void> {
    await this.#inTurn(async () => {
      const member = this.#member;
      this.#member = undefined;
      clearTimeout(this.#restarting);
      if (this.#assignment !== undefined)
        this.#lose(this.#assignment, 'connection-lost', 'The queue was deleted.');
      await member?.stop();
    });
  }

  /** Hands nothing over any more, waits for what is settled to be safe, commits, and leaves the group. */
  async leave(): Promise<void> {
    this.#isLeaving = true;
    clearInterval(this.#watch);
    clearTimeout(this.#restarting);
    const assignment = this.#assignment;
    if (assignment !== undefined) {
      assignment.drop();
      // Copies of settled deliveries are under way: what they stand for is finished when they are confirmed.
      await assignment.idle(maxWaitForCopiesMs);
      assignment.leaveInOrder();
      await this.#commits.settle(maxWaitForCommitMs);
    }
    await this.#commits.close();
    this.#context.progress.forget();
    await this.#inTurn(async () => {
      const member = this.#member;
      this.#member = undefined;
      await member?.stop();
    });
  }

  // ---- what the group says

  /** Drains: what is not finished by the deadline is aborted, and comes again to whoever gets the partition. */
  async beforeJoin(): Promise<void> {
    const { progress, settings } = this.#context;
    progress.markAlive();
    // While it drains and joins nothing is handed over, and no heartbeat is sent.
    this.#heardAt = Number.POSITIVE_INFINITY;
    const assignment = this.#assignment;
    if (assignment === undefined) return;
    assignment.drop();
    const { revocationDeadlineMs, sessionTimeoutMs } = settings;
    // Finds out, too, whether the group still waits for us.
    await this.#commits.flush();
    await assignment.idle(revocationDeadlineMs);
    assignment.leaveInOrder();
    await this.#commits.settle(Math.min(maxWaitForCommitMs, (sessionTimeoutMs - revocationDeadlineMs) / 2));
    this.#lose(
      assignment,
      'partition-revoked',
      `Not finished within ${revocationDeadlineMs} ms of a rebalance.`,
    );
    progress.markAlive();
  }

  onAssigned(assignment: Readonly<Record<string, readonly number[]>>): void {
    this.#assignedAt = performance.now();
    this.#heardAt = performance.now();
    this.#context.progress.markAlive();
    if (this.#isLeaving) return;
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
    this.#works();
    await this.#loading;
    const assignment = this.#assignment;
    const tracker = assignment?.tracker(topic, partition);
    if (assignment === undefined || tracker === undefined || assignment.isLost) return;
    if (records.length > 0) await this.#context.room(assignment, tracker);
    if (assignment.isLost) return;
    const since = this.#layout.bindings.get(topic)?.from[partition] ?? 0;
    this.#missing.check(tracker, records[0]?.offset ?? lastOffset + 1, highWatermark, since);
    if (assignment.lag === 0) this.#context.progress.markProgress();
    tracker.highWatermark = highWatermark;
    if (records.length > 0 && tracker.crashes.begin(lastOffset + 1)) await this.commitBefore(tracker);
    if (assignment.isLost) return;
    for (const record of records) {
      if (!tracker.receive(record.offset)) continue;
      if (isWanted(this.#layout, this.#context.queue, record)) assignment.add(record, tracker);
      else tracker.finish(record.offset);
    }
    tracker.passOver(lastOffset);
    this.#commits.markDirty();
    this.#context.onArrived(assignment);
  }

  onHeartbeat(ageMs: number): void {
    this.#works();
    this.#heardAt = Math.max(this.#heardAt, performance.now() - ageMs);
    if (performance.now() - this.#assignedAt > steadyAfterMs) this.#failures = 0;
  }

  /**
   * Whether the partitions may still be this process's; if not, it lets go of all of them and joins again. To be asked
   * before records are handed over: a process that was stopped and goes on has records at hand that others have
   * finished since.
   */
  isTrusted(): boolean {
    const silentMs = performance.now() - this.#heardAt;
    if (this.#assignment === undefined || silentMs <= this.#context.settings.sessionTimeoutMs) return true;
    const seconds = Math.round(silentMs / 1_000);
    this.onCrash(new Error(`the group has not heard of this process for ${seconds} s`));
    return false;
  }

  onCrash(error: unknown): void {
    const { logger, queue, progress } = this.#context;
    const member = this.#member;
    this.#member = undefined;
    if (this.#assignment !== undefined)
      this.#lose(this.#assignment, 'connection-lost', 'The connection to Kafka was lost.');
    if (this.#isLeaving) return;
    const reason = error instanceof Error ? error.message : String(error);
    progress.failed('receive', reason);
    if (MelangeError.is(error, 'QUEUE_NOT_FOUND')) this.#context.onGone(error);
    this.#failures += 1;
    const delayMs = reconnectDelayMs(this.#failures);
    logger.debug('Joining the group again', { queue, reason, delayMs });
    clearTimeout(this.#restarting);
    this.#restarting = setTimeout(() => void this.#inTurn(() => this.#joinAgain(member)), delayMs);
  }

  /** To be joined is not enough: what it crashes of may come with the first fetch. */
  #works(): void {
    this.#context.progress.markAlive();
    if (this.#assignedAt <= performance.now()) this.#context.progress.worked('receive');
  }

  // ---- the member and its partitions

  /** A failure is a crash like any other. */
  #inTurn(change: () => Promise<void>): Promise<void> {
    this.#changing = this.#changing.then(change).catch((error) => this.onCrash(error));
    return this.#changing;
  }

  #join(): void {
    if (this.#isLeaving || this.#member !== undefined) return;
    const { client, queue, progress } = this.#context;
    const isCurrent = (): boolean => this.#member === member;
    const member = client.join(queue, this.#layout.topics, {
      beforeJoin: async () => {
        if (isCurrent()) await this.beforeJoin();
      },
      onAssigned: (assignment) => isCurrent() && this.onAssigned(assignment),
      onRecords: async (...given) => {
        if (isCurrent()) await this.onRecords(...given);
      },
      onHeartbeat: (ageMs) => isCurrent() && this.onHeartbeat(ageMs),
      onCrash: (error) => isCurrent() && this.onCrash(error),
    });
    this.#assignedAt = Number.POSITIVE_INFINITY;
    this.#member = member;
    progress.markAlive();
    // It may take long, and fail in the middle: the next one must not have to wait for it.
    member.start().catch((error) => isCurrent() && this.onCrash(error));
  }

  /** kafkajs reads other topics only as another member. */
  async #replace(): Promise<void> {
    const member = this.#member;
    // One that has crashed is replaced soon, by one that reads them.
    if (member === undefined) return;
    await this.beforeJoin();
    if (this.#member !== member) return;
    this.#member = undefined;
    await member.stop();
    if (this.#assignment !== undefined)
      this.#lose(this.#assignment, 'partition-revoked', 'The queue reads other topics now.');
    this.#join();
  }

  async #joinAgain(former: GroupMember | undefined): Promise<void> {
    if (this.#member !== undefined) return;
    await former?.stop();
    // A topic that is gone may be the reason.
    this.#layout = await this.#context.topology.layoutOf(this.#context.queue);
    this.#join();
  }

  async #load(assigned: Readonly<Record<string, readonly number[]>>): Promise<void> {
    const { client, queue, onReady, readAgain } = this.#context;
    const topics = Object.keys(assigned);
    const commits = topics.length === 0 ? [] : await client.committedBy(queue, topics);
    const trackers = new Map<string, PartitionTracker>();
    for (const commit of commits) {
      const { topic, partition } = commit;
      if (assigned[topic]?.includes(partition) === true)
        trackers.set(`${topic}/${partition}`, trackerFrom(commit, thisProcess));
    }
    this.#missing.checkCommitted(
      commits.filter(({ topic, partition }) => trackers.has(`${topic}/${partition}`)),
      this.#layout.bindings,
    );
    this.#assignment = new Assignment(trackers, onReady, readAgain);
    this.#commits.follow(this.#assignment);
    onReady();
  }

  #lose(assignment: Assignment, reason: LossReason, why: string): void {
    assignment.drop();
    this.#context.onLost(assignment, reason, why);
    if (this.#assignment !== assignment) return;
    this.#assignment = undefined;
    this.#commits.follow(undefined);
  }

  /** Whatever ends kafkajs without a word is found here. */
  #look(): void {
    if (!this.isTrusted()) return;
    this.#assignment?.detachOld();
    const { progress, settings, logger } = this.#context;
    progress.look(this.#assignment);
    const { silentMs } = progress;
    if (this.#member !== undefined && silentMs > settings.sessionTimeoutMs * 2)
      this.onCrash(new Error(`no sign of life of the consumer for ${Math.round(silentMs / 1_000)} s`));
    else if (performance.now() - this.#refreshedAt > settings.metadataMaxAgeMs)
      this.reread().catch((error) => logger.debug('The topology was not read', { error }));
  }
}
