import type { Intake, PushSource, Received } from '@melange/backend-kit';
import type { Message } from '@melange/core';
import { AnswerLost } from './network.ts';
import type { Row } from './queue-store.ts';
import type { SimulatedBroker } from './simulated-broker.ts';

/** A message that was pushed. */
export interface PushedRow extends Received {
  readonly row: Row;
}

/** One intake on one connection of a pushing broker. */
export class PushingChannel implements PushSource<PushedRow> {
  readonly #broker: SimulatedBroker;
  readonly #queue: string;
  readonly #prefetch: number;
  readonly #untilEmpty: boolean;
  readonly #intake: Intake<PushedRow>;
  readonly #unsettled = new Set<Row>();
  /** Acknowledgements on their way. */
  readonly #written = new Set<Promise<void>>();
  readonly #stopListening: () => void;
  #state: 'open' | 'stopped' | 'gone' = 'open';
  #pumpAt = Number.POSITIVE_INFINITY;
  #cancelPump: () => void = () => undefined;

  constructor(
    broker: SimulatedBroker,
    { queue, maxInFlight, untilEmpty }: { queue: string; maxInFlight: number; untilEmpty: boolean },
    intake: Intake<PushedRow>,
  ) {
    this.#broker = broker;
    this.#queue = queue;
    this.#prefetch = maxInFlight;
    this.#untilEmpty = untilEmpty;
    this.#intake = intake;
    this.#stopListening = broker.store.onPut(() => this.#pumpIn(1));
    this.#pumpIn(1);
  }

  finish({ row }: PushedRow): void {
    const { network, store } = this.#broker;
    // Written to the socket: it arrives, or the connection is gone and the message comes again.
    const written = network
      .ask(() => {
        if (!this.#unsettled.delete(row)) return;
        store.remove(this.#queue, row, network.process);
        this.#pumpIn(1);
      })
      .catch(() => this.lose('reset'))
      .finally(() => this.#written.delete(written));
    this.#written.add(written);
  }

  acknowledge(): undefined {
    throw new Error('`finish` takes its place');
  }

  async retry(
    taken: PushedRow,
    { delayMs, attempt, redeliveries }: { delayMs: number; attempt: number; redeliveries: number },
  ): Promise<void> {
    const { network, store } = this.#broker;
    const { row, message } = taken;
    await network.ask(() => store.replace(row, this.#queue, message, delayMs, attempt, redeliveries));
    this.finish(taken);
  }

  async deadLetter(taken: PushedRow, target: string, copy: Message): Promise<void> {
    const { network, store } = this.#broker;
    await network.ask(() => store.replace(taken.row, target, copy, 0, 1, 0));
    this.finish(taken);
  }

  async release(batch: readonly PushedRow[]): Promise<void> {
    await this.#broker.network.ask(() => {
      for (const { row } of batch) if (this.#unsettled.delete(row)) row.isTaken = false;
      this.#broker.store.wake();
    });
  }

  stop(): void {
    if (this.#state === 'open') this.#state = 'stopped';
  }

  /** Behind all that was written before it. */
  async close(): Promise<void> {
    await Promise.all(this.#written);
    this.#end();
  }

  /** The connection is gone: at the broker at once, for the process when it hears of it. */
  lose(reason: string): void {
    if (this.#state === 'gone') return;
    this.#end();
    const { process } = this.#broker.network;
    process.schedule(() => this.#intake.lost(new AnswerLost(reason)), 1);
  }

  /** What is unsettled goes back to the queue. */
  #end(): void {
    if (this.#state === 'gone') return;
    this.#state = 'gone';
    this.#stopListening();
    this.#cancelPump();
    for (const row of this.#unsettled) {
      row.redeliveries += 1;
      row.isTaken = false;
    }
    this.#unsettled.clear();
    this.#broker.store.wake();
  }

  #isOpen(): boolean {
    return this.#state === 'open';
  }

  /** One look at a time is due: the earliest. */
  #pumpIn(delayMs: number): void {
    if (this.#state !== 'open') return;
    const { process } = this.#broker.network;
    const at = process.monotonicNow() + delayMs;
    if (at >= this.#pumpAt) return;
    this.#cancelPump();
    this.#pumpAt = at;
    this.#cancelPump = process.schedule(() => {
      this.#pumpAt = Number.POSITIVE_INFINITY;
      this.#pump();
    }, delayMs);
  }

  #pump(): void {
    if (this.#state !== 'open') return;
    const { store, network } = this.#broker;
    const now = network.process.monotonicNow();
    let isEmpty = true;
    for (const row of [...store.rows(this.#queue)]) {
      // The process may end as it gets a message.
      if (this.#unsettled.size >= this.#prefetch || !this.#isOpen()) return;
      if (row.isTaken) continue;
      if (row.visibleAt > now) {
        this.#pumpIn(row.visibleAt - now);
        continue;
      }
      isEmpty = false;
      store.take(row, network.process);
      this.#unsettled.add(row);
      const { message, attempt, redeliveries } = row;
      this.#intake.deliver({ message, attempt, redeliveries, row });
    }
    if (isEmpty && this.#untilEmpty) this.#intake.empty();
  }
}
