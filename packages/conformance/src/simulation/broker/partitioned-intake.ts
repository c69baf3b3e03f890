import type { Intake, PushSource, Received } from '@melange/backend-kit';
import type { Message } from '@melange/core';
import type { Membership } from './consumer-group.ts';
import { AnswerLost } from './network.ts';
import type { LoggedRow } from './partition-log.ts';
import type { PartitionedBroker } from './partitioned-settings.ts';

/** A message that was fetched. */
export interface LoggedDelivery extends Received {
  readonly row: LoggedRow;
  readonly partition: number;
  readonly offset: number;
}

/** A partition that is ours, and what is known of its messages from the committed offset on. */
interface Assigned {
  /** Offset of the next message to be fetched. */
  position: number;
  /** Offset up to which all is done. */
  done: number;
  /** What is done beyond that. */
  readonly doneBeyond: Set<number>;
  /** Given back unrun: they are delivered again. */
  readonly givenBack: LoggedDelivery[];
  /** Offset that was committed last, as far as is known here. */
  committed: number;
}

/** What a partition has from an offset on. */
interface FetchedRows {
  readonly number: number;
  readonly position: number;
  readonly rows: readonly LoggedRow[];
}

/** Answer to one look, and when there is more, in ms. */
interface Fetched {
  readonly rows: readonly FetchedRows[];
  readonly nextMs: number;
}

const noRows: readonly LoggedRow[] = [];
const nothing: Fetched = { rows: [], nextMs: Number.POSITIVE_INFINITY };

/** Looks at the broker, in ms: sooner when there is something new. */
const pollMs = 1_500;
/** Commits wait for others, in ms. */
const commitAfterMs = 50;
/** What runs on when partitions are taken away has so long to finish, in ms. */
const drainMs = 1_000;

/** One member of the group of a partitioned broker. */
export class PartitionedIntake implements PushSource<LoggedDelivery> {
  readonly #broker: PartitionedBroker;
  readonly #id: number;
  readonly #room: number;
  readonly #untilEmpty: boolean;
  readonly #intake: Intake<LoggedDelivery>;
  readonly #assigned = new Map<number, Assigned>();
  readonly #unsettled = new Set<LoggedDelivery>();
  readonly #stopListening: () => void;
  #generation = 0;
  #state: 'joining' | 'stable' | 'letting-go' | 'gone' = 'joining';
  #isStopped = false;
  #isPolling = false;
  #pollAt = Number.POSITIVE_INFINITY;
  #cancelPoll: () => void = () => undefined;
  #cancelCommit: (() => void) | undefined;

  constructor(
    broker: PartitionedBroker,
    id: number,
    { maxInFlight, untilEmpty }: { readonly maxInFlight: number; readonly untilEmpty: boolean },
    intake: Intake<LoggedDelivery>,
  ) {
    this.#broker = broker;
    this.#id = id;
    this.#room = maxInFlight;
    this.#untilEmpty = untilEmpty;
    this.#intake = intake;
    this.#stopListening = broker.log.onPut(() => this.#pollIn(1));
    this.#pollIn(1);
  }

  finish(taken: LoggedDelivery): void {
    if (!this.#unsettled.delete(taken)) return;
    const assigned = this.#assigned.get(taken.partition);
    if (assigned === undefined) return;
    assigned.doneBeyond.add(taken.offset);
    while (assigned.doneBeyond.delete(assigned.done)) assigned.done += 1;
    this.#cancelCommit ??= this.#broker.network.process.schedule(() => {
      this.#cancelCommit = undefined;
      void this.#commit();
    }, commitAfterMs);
    this.#pollIn(1);
  }

  acknowledge(): undefined {
    throw new Error('`finish` takes its place');
  }

  async retry(
    taken: LoggedDelivery,
    { delayMs, attempt, redeliveries }: { delayMs: number; attempt: number; redeliveries: number },
  ): Promise<void> {
    const { log, network } = this.#broker;
    await network.ask(() => log.retry(taken, taken.message, delayMs, attempt, redeliveries));
    this.finish(taken);
  }

  async deadLetter(taken: LoggedDelivery, _target: string, copy: Message): Promise<void> {
    await this.#broker.network.ask(() => this.#broker.log.deadLetter(taken.row, copy));
    this.finish(taken);
  }

  async release(batch: readonly LoggedDelivery[]): Promise<void> {
    for (const taken of batch) {
      if (this.#unsettled.delete(taken)) this.#assigned.get(taken.partition)?.givenBack.push(taken);
    }
    for (const { givenBack } of this.#assigned.values())
      givenBack.sort((one, other) => one.offset - other.offset);
    this.#pollIn(1);
  }

  stop(): void {
    this.#isStopped = true;
  }

  async close(): Promise<void> {
    if (this.#state === 'gone') return;
    await this.#commit();
    this.#end();
    const { group, network } = this.#broker;
    await network.ask(() => group.leave(this.#id));
  }

  /** The connection is gone: the broker takes the partitions back when it has not heard of the member for a while. */
  lose(reason: string): void {
    if (this.#state === 'gone') return;
    this.#end();
    this.#broker.network.process.schedule(() => this.#intake.lost(new AnswerLost(reason)), 1);
  }

  #end(): void {
    this.#state = 'gone';
    this.#stopListening();
    this.#cancelPoll();
    this.#cancelCommit?.();
  }

  /** One poll at a time is due: the earliest. */
  #pollIn(delayMs: number): void {
    if (this.#state === 'gone') return;
    const { process } = this.#broker.network;
    const at = process.monotonicNow() + delayMs;
    if (at >= this.#pollAt) return;
    this.#cancelPoll();
    this.#pollAt = at;
    this.#cancelPoll = process.schedule(() => {
      this.#pollAt = Number.POSITIVE_INFINITY;
      if (!this.#isPolling) void this.#poll();
    }, delayMs);
  }

  /** Never rejects. */
  async #poll(): Promise<void> {
    this.#isPolling = true;
    let nextMs = pollMs;
    try {
      const { group, network } = this.#broker;
      const positions = [...this.#assigned].map(([number, { position }]) => [number, position] as const);
      const { membership, fetched } = await network.ask(() => ({
        membership: group.hear(this.#id),
        fetched: this.#isStopped ? nothing : this.#fetched(positions),
      }));
      if (!this.#isGone()) nextMs = await this.#goOn(membership, fetched);
    } catch {
      // The broker did not answer: it is asked again.
    }
    this.#isPolling = false;
    this.#pollIn(nextMs);
  }

  #isGone(): boolean {
    return this.#state === 'gone';
  }

  /** Answers when to poll again, in ms. */
  async #goOn(membership: Membership, fetched: Fetched): Promise<number> {
    if (membership.status === 'unknown') {
      this.#letGo('The group goes on without this member.');
      this.#end();
      this.#intake.lost(new AnswerLost('the session ended'));
      return pollMs;
    }
    if (membership.status === 'rebalancing') {
      if (this.#state === 'joining') return 20;
      if (this.#state === 'stable') await this.#drain();
      await this.#broker.network.ask(() => this.#broker.group.rejoin(this.#id));
      this.#state = this.#isGone() ? 'gone' : 'joining';
      return 5;
    }
    if (this.#state === 'stable' && membership.generation !== this.#generation) {
      this.#letGo('The partitions were handed out anew.');
      this.#state = 'joining';
    }
    if (this.#state === 'stable') return this.#isStopped ? pollMs : this.#receive(fetched);
    await this.#begin(membership);
    return 1;
  }

  /** Takes over the partitions, from where the group has come. */
  async #begin({ generation, partitions }: Membership & { readonly status: 'stable' }): Promise<void> {
    const { log, network } = this.#broker;
    const offsets = await network.ask(() =>
      partitions.map((number) => log.partitions[number]?.committed ?? 0),
    );
    if (this.#isGone()) return;
    this.#generation = generation;
    this.#assigned.clear();
    partitions.forEach((number, place) => {
      const offset = offsets[place] ?? 0;
      this.#assigned.set(number, {
        position: offset,
        done: offset,
        doneBeyond: new Set(),
        givenBack: [],
        committed: offset,
      });
    });
    this.#state = 'stable';
  }

  /** At the broker: what is due, from these offsets on. */
  #fetched(positions: readonly (readonly [number: number, position: number])[]): Fetched {
    const { log, network } = this.#broker;
    const now = network.process.monotonicNow();
    let nextMs = pollMs;
    const due: FetchedRows[] = [];
    for (const [number, position] of positions) {
      const all = log.partitions[number]?.rows ?? [];
      let end = position;
      while (end < all.length && (all[end] as LoggedRow).dueAt <= now) end += 1;
      const first = all[end];
      if (first !== undefined) nextMs = Math.min(nextMs, Math.max(1, first.dueAt - now));
      due.push({ number, position, rows: end > position ? all.slice(position, end) : noRows });
    }
    return { rows: due, nextMs };
  }

  #receive({ rows, nextMs }: Fetched): number {
    for (const fetched of rows) this.#deliver(fetched);
    const isEmpty = rows.every(({ rows: all }) => all.length === 0);
    if (isEmpty && this.#untilEmpty && this.#unsettled.size === 0) this.#intake.empty();
    return nextMs;
  }

  #deliver({ number, position, rows }: FetchedRows): void {
    const assigned = this.#assigned.get(number);
    if (assigned === undefined || assigned.position !== position) return;
    while (this.#hasRoom() && assigned.givenBack.length > 0)
      this.#handOver({ ...(assigned.givenBack.shift() as LoggedDelivery) });
    for (const row of rows) {
      if (!this.#hasRoom()) return;
      const offset = assigned.position;
      assigned.position += 1;
      const { message, attempt, redeliveries } = row;
      this.#handOver({ message, attempt, redeliveries, row, partition: number, offset });
    }
  }

  #handOver(delivery: LoggedDelivery): void {
    this.#unsettled.add(delivery);
    this.#intake.deliver(delivery);
  }

  #hasRoom(): boolean {
    return this.#unsettled.size < this.#room && this.#state === 'stable' && !this.#isStopped;
  }

  /** Waits for what runs, commits, and gives the rest up. */
  async #drain(): Promise<void> {
    this.#state = 'letting-go';
    const { process } = this.#broker.network;
    const until = process.monotonicNow() + drainMs;
    while (this.#unsettled.size > 0 && process.monotonicNow() < until) await process.pause(50);
    await this.#commit();
    if (this.#isGone()) return;
    this.#letGo('The partitions were taken away.');
  }

  #letGo(why: string): void {
    const lost = [...this.#unsettled];
    this.#unsettled.clear();
    this.#assigned.clear();
    this.#intake.takenBack(lost, why, 'partition-revoked');
  }

  /** Never rejects: what is not committed comes again. */
  async #commit(): Promise<void> {
    const { log, group, network } = this.#broker;
    const generation = this.#generation;
    const offsets = [...this.#assigned].filter(([, { done, committed }]) => done > committed);
    if (offsets.length === 0) return;
    const asked = offsets.map(([number, { done }]) => [number, done] as const);
    try {
      await network.ask(() => {
        for (const [number, offset] of asked)
          if (group.owns(this.#id, generation, number)) log.commit(number, offset, network.process);
      });
      for (const [number, offset] of asked) {
        const assigned = this.#assigned.get(number);
        if (assigned !== undefined && generation === this.#generation) assigned.committed = offset;
      }
    } catch {
      this.#cancelCommit ??= network.process.schedule(() => {
        this.#cancelCommit = undefined;
        void this.#commit();
      }, pollMs);
    }
  }
}
