import { randomBytes } from 'node:crypto';
import { reconnectDelayMs } from '@melange/backend-kit';
import { type Logger, MelangeError } from '@melange/core';
import type { GroupPlace, GroupSession, KafkaClient } from '../client/index.ts';
import { typeOf } from '../errors.ts';
import type { KafkaSettings } from '../options.ts';
import type { QueueLayout, Topology } from '../topology/topology.ts';
import { type Assigned, sharingProtocol, writeSubscription } from '../wire/group.ts';
import type { Assignment } from './assignment.ts';
import { CommitLoop } from './commit-loop.ts';
import type { PartitionTracker } from './partition-tracker.ts';
import type { Progress } from './progress.ts';
import { shareOfMember } from './shares.ts';

/** Why deliveries are aborted with their partitions. */
export type LossReason = 'partition-revoked' | 'connection-lost';

/** What a membership works with. */
export interface MembershipContext {
  readonly queue: string;
  readonly client: Pick<KafkaClient, 'openGroup' | 'leadersOf'>;
  readonly topology: Pick<Topology, 'layoutOf'>;
  readonly settings: KafkaSettings;
  readonly progress: Progress;
  readonly logger: Logger;
  /** Makes the assignment of partitions, once it knows what was committed. */
  readonly load: (assigned: Assigned, layout: QueueLayout) => Promise<Assignment>;
  /** The partitions of an assignment may be read and handed over. */
  readonly onAssigned: (assignment: Assignment, session: GroupSession) => void;
  /** The partitions of an assignment are somebody else's now. */
  readonly onLost: (assignment: Assignment, reason: LossReason, why: string) => void;
  /** The queue was not there when the group was to be joined. */
  readonly onGone: (error: MelangeError) => void;
}

/**
 * Where a member is:
 *
 * | state | goes on when | to |
 * | --- | --- | --- |
 * | `out` | the pause after a failure is over, the topology is read again | `joining` |
 * | | the queue was deleted (`standDown`): waits for `onCrash` | `out` |
 * | `joining` | the group gave it partitions, and their commits are read | `steady` |
 * | | the group rebalances again, or does not know the member | `joining` |
 * | | anything fails, or lasts too long | `out` |
 * | `steady` | the group rebalances, the queue has other topics or partitions | `draining` |
 * | | the group does not know the member any more: all is lost | `joining` |
 * | | a crash: all is lost | `out` |
 * | `draining` | handlers are done or their deadline is over, and offsets committed | `joining` |
 * | | a crash: all is lost | `out` |
 * | any | `leave` is called; `steady` drains before | `left` |
 */
export type MemberState = 'out' | 'joining' | 'steady' | 'draining' | 'left';

/** What ends a state before its work is done; a later one counts where its rank is higher. */
type Interruption = 'rejoin' | 'crash' | 'stand down' | 'leave';
const rank: Readonly<Record<Interruption, number>> = { rejoin: 0, crash: 1, 'stand down': 2, leave: 3 };

class Interrupted extends Error {}

const maxWaitForCopiesMs = 5_000;
const maxWaitForCommitMs = 2_000;
const maxLeaveMs = 3_000;
const watchEveryMs = 1_000;
/** A member that lived this long did not die of what killed the one before it. */
const steadyAfterMs = 10_000;
/** A coordinator that moves, or begins: soon there is one. */
const settling = /COORDINATOR|GROUP_LOAD_IN_PROGRESS/;
const maxSettling = 40;
const settlingPauseMs = 50;
/** Somebody else speaks for these partitions now. */
const fenced = /^(UNKNOWN_MEMBER_ID|ILLEGAL_GENERATION|FENCED_INSTANCE_ID)$/;
/** By which this process knows what it has written itself. */
export const thisProcess: string = randomBytes(4).toString('hex');

/** Keeps this process a member of a queue's group: one loop, which is in one state at a time, so that there are never two members. */
export class Membership {
  readonly #context: MembershipContext;
  readonly #commits: CommitLoop;
  #layout: QueueLayout;
  #state: MemberState = 'joining';
  #interruption: Interruption | undefined;
  #onInterrupted: () => void = () => undefined;
  #running: Promise<void> = Promise.resolve();
  #session: GroupSession | undefined;
  /** The place of the moment, while it is `steady` or `draining`. */
  #place: GroupPlace | undefined;
  #memberId = '';
  /** Resolves when the last request to join is answered. */
  #joining: Promise<unknown> = Promise.resolve();
  /** They wait until the place is given up. */
  readonly #whenOut: (() => void)[] = [];
  #assignment: Assignment | undefined;
  /** Topics and partitions that the group shares out. */
  #shared = '';
  #failures = 0;
  #settling = 0;
  #pauseMs = 0;
  #isStoodDown = false;
  #isLayoutOld = false;
  #steadySince = Number.POSITIVE_INFINITY;
  /** When the group last heard of this process, as far as it has confirmed that. */
  #heardAt = Number.POSITIVE_INFINITY;
  #refreshedAt = performance.now();
  #watch: NodeJS.Timeout | undefined;

  constructor(layout: QueueLayout, context: MembershipContext) {
    this.#layout = layout;
    this.#context = context;
    const { settings, progress } = context;
    this.#commits = new CommitLoop(settings.commitIntervalMs, {
      commit: async (commits) => {
        if (this.#place !== undefined) await this.#session?.commit(this.#place, commits);
      },
      onCommitted: () => progress.committed(),
      onFailed: (error) => progress.commitFailed(error),
      onFenced: (assignment) => {
        if (assignment === this.#assignment) this.#fence();
      },
    });
  }

  get layout(): QueueLayout {
    return this.#layout;
  }

  get state(): MemberState {
    return this.#state;
  }

  /** The partitions of the moment, if there are any. */
  get assignment(): Assignment | undefined {
    return this.#assignment;
  }

  /** Joins the group, in the background and again and again until it is in it. */
  start(): void {
    this.#watch = setInterval(() => this.#look(), watchEveryMs);
    this.#running = this.#run();
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
    const { topology, queue } = this.#context;
    this.#layout = await topology.layoutOf(queue);
    const shared = await this.#sharedOf(this.#layout.topics);
    if (this.#state === 'out' || (this.#place !== undefined && shared !== this.#shared))
      this.#interrupt('rejoin');
  }

  /** The queue is about to be deleted: the group is left until `onCrash`, and then joined as soon as there is a queue again. */
  async standDown(): Promise<void> {
    this.#isStoodDown = true;
    this.#lose('connection-lost', 'The queue was deleted.');
    this.#interrupt('stand down');
    await new Promise<void>((resolve) => this.#whenOut.push(resolve));
  }

  /** Hands nothing over any more, waits for what is settled to be safe, commits, and leaves the group. */
  async leave(): Promise<void> {
    clearInterval(this.#watch);
    this.#assignment?.drop();
    this.#interrupt('leave');
    await this.#running;
  }

  /** Somebody found that the partitions cannot be read: all is lost, and the group joined again after a pause. */
  onCrash(error: unknown): void {
    const { logger, queue, progress, onGone } = this.#context;
    this.#isStoodDown = false;
    this.#lose('connection-lost', 'The connection to Kafka was lost.');
    if (this.#isLeaving) return;
    const reason = error instanceof Error ? error.message : String(error);
    progress.failed('receive', reason);
    this.#failures += 1;
    this.#pauseMs = reconnectDelayMs(this.#failures);
    if (MelangeError.is(error, 'QUEUE_NOT_FOUND')) onGone(error);
    logger.debug('Joining the group again', { queue, reason, delayMs: this.#pauseMs });
    this.#interrupt('crash');
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

  get #isLeaving(): boolean {
    return this.#interruption === 'leave';
  }

  // ---- the states

  async #run(): Promise<void> {
    while (this.#state !== 'left') {
      try {
        this.#state = await this.#goOn();
      } catch (error) {
        if (!(error instanceof Interrupted)) this.onCrash(error);
        if (this.#isLeaving && this.#assignment !== undefined) this.#state = 'draining';
        else if (this.#interruption === 'rejoin') this.#state = this.#assignment ? 'draining' : 'joining';
        else this.#state = 'out';
      }
    }
  }

  /** The work of the state; resolves with the next one. */
  #goOn(): Promise<MemberState> {
    if (this.#state === 'out') return this.#out();
    if (this.#state === 'joining') return this.#join();
    if (this.#state === 'steady') return this.#untilInterrupted(new Promise<never>(() => undefined));
    return this.#drain();
  }

  async #out(): Promise<MemberState> {
    await this.#giveUpPlace();
    for (const resolve of this.#whenOut.splice(0)) resolve();
    if (this.#isLeaving) {
      await this.#commits.close();
      this.#context.progress.forget();
      return 'left';
    }
    this.#interruption = undefined;
    const pauseMs = this.#pauseMs;
    this.#isLayoutOld = true;
    if (this.#isStoodDown) await this.#untilInterrupted(new Promise<never>(() => undefined));
    await this.#untilInterrupted(pause(pauseMs));
    return 'joining';
  }

  async #join(): Promise<MemberState> {
    if (this.#interruption !== undefined && this.#interruption !== 'rejoin') return 'out';
    if (this.#isStoodDown) return 'out';
    this.#interruption = undefined;
    const { topology, queue, client, settings, progress, load, onAssigned } = this.#context;
    progress.markAlive();
    // A topic that is gone may be the reason.
    if (this.#isLayoutOld) this.#layout = await this.#untilInterrupted(topology.layoutOf(queue));
    this.#isLayoutOld = false;
    const layout = this.#layout;
    const shared = await this.#untilInterrupted(this.#sharedOf(layout.topics));
    this.#session ??= client.openGroup(queue);
    const session = this.#session;
    const { sessionTimeoutMs, revocationDeadlineMs } = settings;
    const joining = session.join({
      memberId: this.#memberId,
      protocol: sharingProtocol,
      bytes: writeSubscription(layout.topics),
      sessionTimeoutMs,
      rebalanceTimeoutMs: sessionTimeoutMs + revocationDeadlineMs,
    });
    // Whoever gives up the place waits for it, to know which it is.
    this.#joining = joining.then(
      ({ memberId }) => {
        this.#memberId = memberId;
      },
      () => undefined,
    );
    try {
      const joined = await this.#untilInterrupted(joining);
      const heardAt = performance.now();
      const assigned = await this.#untilInterrupted(
        shareOfMember(session, joined, async (topic) => (await client.leadersOf(topic))?.length ?? 0),
      );
      progress.markAlive();
      const place = { memberId: joined.memberId, generation: joined.generation };
      this.#place = place;
      this.#heardAt = heardAt;
      this.#steadySince = performance.now();
      this.#shared = shared;
      void this.#beat(session, place);
      const assignment = await this.#untilInterrupted(load(assigned, layout));
      this.#assignment = assignment;
      this.#commits.follow(assignment);
      this.#settling = 0;
      onAssigned(assignment, session);
      // They may have changed meanwhile.
      return this.#layout.topics.join() === layout.topics.join() ? 'steady' : 'draining';
    } catch (error) {
      this.#place = undefined;
      const type = typeOf(error) ?? '';
      if (fenced.test(type)) this.#memberId = '';
      if (fenced.test(type) || type === 'REBALANCE_IN_PROGRESS') return 'joining';
      if (!settling.test(type) || this.#settling >= maxSettling) throw error;
      this.#settling += 1;
      await this.#untilInterrupted(pause(settlingPauseMs));
      return 'joining';
    }
  }

  /** What is not finished by the deadline is aborted, and comes again to whoever gets the partition. */
  async #drain(): Promise<MemberState> {
    const assignment = this.#assignment;
    const { progress, settings } = this.#context;
    const { revocationDeadlineMs, sessionTimeoutMs } = settings;
    if (assignment !== undefined) {
      progress.markAlive();
      assignment.drop();
      // Copies of settled deliveries are under way: what they stand for is finished when they are confirmed.
      const deadlineMs = (): number => (this.#isLeaving ? maxWaitForCopiesMs : revocationDeadlineMs);
      // Finds out, too, whether the group still waits for us.
      if (!this.#isLeaving) await this.#commits.flush();
      await assignment.idle(deadlineMs());
      assignment.leaveInOrder();
      const inTime = (sessionTimeoutMs - revocationDeadlineMs) / 2;
      await this.#commits.settle(Math.min(maxWaitForCommitMs, inTime));
      this.#lose('partition-revoked', `Not finished within ${revocationDeadlineMs} ms of a rebalance.`);
      progress.markAlive();
    }
    this.#place = undefined;
    return this.#interruption === undefined || this.#interruption === 'rejoin' ? 'joining' : 'out';
  }

  // ---- what the group says

  /** Says that the member lives, for as long as the place is its own. */
  async #beat(session: GroupSession, place: GroupPlace): Promise<void> {
    const { settings, progress } = this.#context;
    while (this.#place === place) {
      const sentAt = performance.now();
      const heard = (): void => {
        // An answer may have waited here for as long as this process was stopped.
        this.#heardAt = Math.max(this.#heardAt, sentAt);
        progress.markAlive();
        if (sentAt - this.#steadySince > steadyAfterMs) this.#failures = 0;
      };
      try {
        await session.heartbeat(place);
        if (this.#place === place) heard();
      } catch (error) {
        if (this.#place !== place) return;
        const type = typeOf(error) ?? '';
        if (type === 'REBALANCE_IN_PROGRESS') {
          heard();
          if (this.#state === 'steady') this.#interrupt('rejoin');
        } else if (fenced.test(type)) this.#fence();
        else if (MelangeError.is(error, 'CONFIGURATION')) this.onCrash(error);
        // Else it is tried again, for as long as the group waits: see `isTrusted`.
      }
      await pause(settings.heartbeatIntervalMs);
    }
  }

  /** The group went on without this process. */
  #fence(): void {
    this.#place = undefined;
    this.#lose('partition-revoked', 'The group went on without this process.');
    this.#interrupt('rejoin');
  }

  /** Ends the state, unless something that counts more has. */
  #interrupt(by: Interruption): void {
    const before = this.#interruption;
    if (before !== undefined && rank[before] > rank[by]) return;
    this.#interruption = by;
    this.#onInterrupted();
  }

  /** @throws Interrupted when the state is to end before. */
  #untilInterrupted<Result>(work: Promise<Result>): Promise<Result> {
    if (this.#interruption !== undefined) {
      work.catch(() => undefined);
      return Promise.reject(new Interrupted());
    }
    return new Promise((resolve, reject) => {
      this.#onInterrupted = () => reject(new Interrupted());
      work.then(resolve, reject);
    });
  }

  /** The partitions are given to others at once, if the broker can be reached. */
  async #giveUpPlace(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    this.#place = undefined;
    this.#lose('connection-lost', 'The connection to Kafka was lost.');
    if (session === undefined) return;
    await Promise.race([this.#joining, pause(maxLeaveMs)]);
    const memberId = this.#memberId;
    this.#memberId = '';
    const leaving = memberId === '' ? undefined : session.leave(memberId).catch(() => undefined);
    await Promise.race([leaving, pause(maxLeaveMs)]);
    await session.close();
  }

  #lose(reason: LossReason, why: string): void {
    const assignment = this.#assignment;
    if (assignment === undefined) return;
    this.#assignment = undefined;
    this.#heardAt = Number.POSITIVE_INFINITY;
    this.#commits.follow(undefined);
    assignment.drop();
    this.#context.onLost(assignment, reason, why);
  }

  /** The topics and the numbers of their partitions, in one text. */
  async #sharedOf(topics: readonly string[]): Promise<string> {
    const { client } = this.#context;
    const parts = topics.map(async (topic) => `${topic}/${(await client.leadersOf(topic))?.length ?? 0}`);
    return (await Promise.all(parts)).join();
  }

  /** Whatever ends the member without a word is found here. */
  #look(): void {
    if (!this.isTrusted()) return;
    const { progress, settings, logger } = this.#context;
    this.#assignment?.detachOld();
    progress.look(this.#assignment);
    const { silentMs } = progress;
    if (this.#state !== 'out' && silentMs > settings.sessionTimeoutMs * 2)
      this.onCrash(new Error(`no sign of life of the group for ${Math.round(silentMs / 1_000)} s`));
    else if (performance.now() - this.#refreshedAt > settings.metadataMaxAgeMs)
      this.reread().catch((error) => logger.debug('The topology was not read', { error }));
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
