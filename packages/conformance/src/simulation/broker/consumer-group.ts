import type { Scheduler } from '../time/scheduler.ts';
import type { SimulatedProcess } from '../time/simulated-process.ts';

/** A member that was not heard of for so long is out, in ms. */
const sessionMs = 5_000;
/** Members have so long to let go of their partitions, in ms. */
const rebalanceMs = 3_000;

/** What a member is told when it is heard of. */
export type Membership =
  | { readonly status: 'stable'; readonly generation: number; readonly partitions: readonly number[] }
  /** Let go of all partitions, and join again. */
  | { readonly status: 'rebalancing' }
  /** It is out, and has to join anew. */
  | { readonly status: 'unknown' };

interface Member {
  readonly process: SimulatedProcess;
  heardAt: number;
  hasRejoined: boolean;
  partitions: readonly number[];
}

/** The members of a consumer group, and who has which partitions. */
export class ConsumerGroup {
  readonly #scheduler: Scheduler;
  readonly #partitions: number;
  readonly #lanes: number;
  readonly #members = new Map<number, Member>();
  #generation = 0;
  #ids = 0;
  #cancelRebalance: (() => void) | undefined;
  #cancelExpiry: (() => void) | undefined;

  /** @param lanes partitions whose numbers leave the same remainder go to the same member. */
  constructor(scheduler: Scheduler, partitions: number, lanes: number) {
    this.#scheduler = scheduler;
    this.#partitions = partitions;
    this.#lanes = lanes;
  }

  /** A new member; everybody has to join again. */
  join(process: SimulatedProcess): number {
    this.#ids += 1;
    this.#members.set(this.#ids, {
      process,
      heardAt: this.#scheduler.now,
      hasRejoined: true,
      partitions: [],
    });
    this.rebalance();
    this.#watch();
    return this.#ids;
  }

  /** A member has let go of its partitions. */
  rejoin(id: number): void {
    const member = this.#members.get(id);
    if (member === undefined) return;
    member.heardAt = this.#scheduler.now;
    member.hasRejoined = true;
    this.#assignIfAllAreThere();
  }

  leave(id: number): void {
    if (this.#members.delete(id)) this.rebalance();
  }

  /** A member is heard of. */
  hear(id: number): Membership {
    const member = this.#members.get(id);
    if (member === undefined) return { status: 'unknown' };
    member.heardAt = this.#scheduler.now;
    if (this.#cancelRebalance !== undefined) return { status: 'rebalancing' };
    return { status: 'stable', generation: this.#generation, partitions: member.partitions };
  }

  /** Whether the member has the partition, in this generation; while it lets go of it, too. */
  owns(id: number, generation: number, partition: number): boolean {
    return generation === this.#generation && this.#members.get(id)?.partitions.includes(partition) === true;
  }

  /** Partitions are handed out anew, as soon as all members have let go of them. */
  rebalance(): void {
    if (this.#members.size === 0) return;
    if (this.#cancelRebalance === undefined) {
      for (const member of this.#members.values())
        if (member.partitions.length > 0) member.hasRejoined = false;
      this.#cancelRebalance = this.#scheduler.schedule(() => this.#assign(), rebalanceMs);
    }
    this.#scheduler.schedule(() => this.#assignIfAllAreThere(), 0);
  }

  #assignIfAllAreThere(): void {
    if (this.#cancelRebalance === undefined) return;
    for (const { hasRejoined } of this.#members.values()) if (!hasRejoined) return;
    this.#assign();
  }

  #assign(): void {
    this.#cancelRebalance?.();
    this.#cancelRebalance = undefined;
    this.#generation += 1;
    for (const [id, { hasRejoined }] of this.#members) if (!hasRejoined) this.#members.delete(id);
    const members = [...this.#members.values()];
    members.forEach((member, place) => {
      const all = Array.from({ length: this.#partitions }, (_, number) => number);
      member.partitions = all.filter((number) => (number % this.#lanes) % members.length === place);
    });
  }

  /** Members that fell silent are out. */
  #watch(): void {
    if (this.#members.size === 0) return;
    this.#cancelExpiry ??= this.#scheduler.schedule(() => {
      this.#cancelExpiry = undefined;
      const since = this.#scheduler.now - sessionMs;
      const silent = [...this.#members].filter(([, { heardAt }]) => heardAt < since);
      for (const [id] of silent) this.#members.delete(id);
      if (silent.length > 0) this.rebalance();
      this.#watch();
    }, sessionMs / 2);
  }
}
