import type { Message, QueueOptions } from '@melange/core';
import {
  type Backend,
  type BackendClass,
  type BackendOptions,
  type Driver,
  type DriverContext,
  defineBackend,
  type Intake,
  type PushSource,
  type Received,
} from '../../src/index.ts';
import { Away, copied, explain, type Row, Store, storePublishing, storeTopology, turn } from './store.ts';
import { type Address, Wire } from './wire.ts';

/** What a subscription was sent. */
export interface PushedRow extends Received {
  readonly row: Row;
}

/** A broker that sends messages by itself and takes them back when the connection is lost, as RabbitMQ does. */
export class PushingBroker {
  readonly store: Store;
  readonly #links = new Set<Link>();
  isAway = false;

  constructor(store: Store = new Store()) {
    this.store = store;
  }

  /** @param address where the broker answers over a network; else it is asked directly. */
  async connect(onLost: (reason: string) => void, address?: Address): Promise<Link> {
    if (this.isAway) throw new Away('the broker is away');
    const link = new Link(this.store, onLost);
    if (address !== undefined) link.wire = await Wire.connect(address, (reason) => link.end(reason));
    this.#links.add(link);
    return link;
  }

  /** Ends every connection. */
  cut(): void {
    for (const link of this.#links) link.end('cut');
    this.#links.clear();
  }
}

/** One connection, and the intakes that hang on it. */
class Link {
  readonly #store: Store;
  readonly #onLost: (reason: string) => void;
  readonly #intakes = new Set<PushingIntake>();
  wire: Wire | undefined;
  isOver = false;

  constructor(store: Store, onLost: (reason: string) => void) {
    this.#store = store;
    this.#onLost = onLost;
  }

  /** A turn of the event loop, in which the connection may be lost. */
  readonly answer = async (): Promise<void> => {
    await (this.wire?.answer() ?? turn());
    if (this.isOver) throw new Away('the connection is gone');
  };

  /** Something that the broker does when it hears of it, and does not answer. */
  tell(action: () => void): void {
    if (this.wire === undefined) action();
    else
      this.answer().then(action, () => {
        // It never heard of it: the connection was lost.
      });
  }

  async open(queue: string, prefetch: number, intake: Intake<PushedRow>): Promise<PushingIntake> {
    await this.answer();
    const opened = new PushingIntake(this, this.#store, queue, prefetch, intake, () =>
      this.#intakes.delete(opened),
    );
    this.#intakes.add(opened);
    return opened;
  }

  end(reason: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.wire?.end();
    for (const intake of this.#intakes) intake.lose(reason);
    this.#onLost(reason);
  }
}

class PushingIntake implements PushSource<PushedRow> {
  readonly #link: Link;
  readonly #store: Store;
  readonly #queue: string;
  readonly #prefetch: number;
  readonly #intake: Intake<PushedRow>;
  readonly #onClose: () => void;
  readonly #unsettled = new Set<Row>();
  #isStopped = false;

  constructor(
    link: Link,
    store: Store,
    queue: string,
    prefetch: number,
    intake: Intake<PushedRow>,
    onClose: () => void,
  ) {
    this.#link = link;
    this.#store = store;
    this.#queue = queue;
    this.#prefetch = prefetch;
    this.#intake = intake;
    this.#onClose = onClose;
    store.queue(queue).wake.add(this.#pump);
    setImmediate(this.#pump);
  }

  readonly #pump = (): void => {
    if (this.#isStopped || this.#link.isOver) return;
    if (!this.#store.queues.has(this.#queue)) {
      this.#isStopped = true;
      this.#intake.lost(new Error('cancelled: the queue was deleted'));
      return;
    }
    for (const row of this.#store.ready(this.#queue)) {
      if (this.#unsettled.size >= this.#prefetch) return;
      row.isTaken = true;
      row.visibleAt = Number.POSITIVE_INFINITY;
      this.#unsettled.add(row);
      const { attempt, redeliveries } = row;
      this.#intake.deliver({ message: copied(row.message), attempt, redeliveries, row });
    }
    if (this.#unsettled.size < this.#prefetch) this.#intake.empty();
  };

  finish(taken: PushedRow): void {
    this.#link.tell(() => this.#finish(taken));
  }

  #finish({ row }: PushedRow): void {
    if (!this.#unsettled.delete(row)) return;
    this.#store.remove(this.#queue, row);
    setImmediate(this.#pump);
  }

  acknowledge(): undefined {
    throw new Error('`finish` takes its place');
  }

  async retry(
    taken: PushedRow,
    { delayMs, attempt, redeliveries }: { delayMs: number; attempt: number; redeliveries: number },
  ): Promise<void> {
    await this.#link.answer();
    this.#store.put(this.#queue, taken.row.message, delayMs, attempt, redeliveries);
    this.#finish(taken);
  }

  async deadLetter(taken: PushedRow, deadLetterQueue: string, copy: Message): Promise<void> {
    await this.#link.answer();
    this.#store.put(deadLetterQueue, copied(copy), 0);
    this.#finish(taken);
  }

  async release(batch: readonly PushedRow[]): Promise<void> {
    for (const { row } of batch) if (this.#unsettled.delete(row)) this.#giveBack(row);
    this.#store.wake(this.#queue);
  }

  stop(): void {
    this.#isStopped = true;
  }

  close(): void {
    this.#store.queues.get(this.#queue)?.wake.delete(this.#pump);
    this.#onClose();
  }

  lose(reason: string): void {
    for (const row of this.#unsettled) {
      row.redeliveries += 1;
      this.#giveBack(row);
    }
    this.#unsettled.clear();
    this.close();
    if (!this.#isStopped) this.#intake.lost(new Away(reason));
    this.#isStopped = true;
    setImmediate(() => this.#store.wake(this.#queue));
  }

  #giveBack(row: Row): void {
    row.isTaken = false;
    row.visibleAt = this.#store.clock.monotonicNow();
  }
}

/** What `PushingBroker` can do. */
export const pushingCapabilities: {
  readonly delayedDelivery: true;
  readonly orderingByKey: false;
  readonly ordered: true;
  readonly brokerSideFilters: true;
  readonly replay: false;
  readonly browse: false;
  readonly queuesKeepTopicMessages: true;
  readonly tombstones: true;
  readonly durable: false;
  readonly releaseKeepsAttempt: true;
  readonly deliveriesOutliveConnections: false;
  readonly exactDepth: true;
  readonly fencedSettlements: true;
  readonly tellsRedeliveries: true;
  readonly maxMessageBytes: undefined;
} = {
  delayedDelivery: true,
  orderingByKey: false,
  ordered: true,
  brokerSideFilters: true,
  replay: false,
  browse: false,
  queuesKeepTopicMessages: true,
  tombstones: true,
  durable: false,
  releaseKeepsAttempt: true,
  deliveriesOutliveConnections: false,
  exactDepth: true,
  fencedSettlements: true,
  tellsRedeliveries: true,
  maxMessageBytes: undefined,
};

/** Options of `PushingBackend`. */
export interface PushingOptions extends BackendOptions {
  readonly broker: PushingBroker;
  /** Where the broker answers over a network. Default: it is asked directly. */
  readonly address?: Address;
}

/** A backend on `PushingBroker`. */
export const PushingBackend: BackendClass<PushingOptions, typeof pushingCapabilities> = defineBackend({
  name: 'pushing',
  capabilities: pushingCapabilities,
  driver: pushingDriver,
});
/** An instance of `PushingBackend`. */
export type PushingBackend = Backend<typeof pushingCapabilities, QueueOptions>;

function pushingDriver(
  { broker, address }: PushingOptions,
  context: DriverContext,
): Driver<QueueOptions, Message, PushedRow> {
  let link: Link | undefined;
  const connected = (): Link => {
    if (link === undefined || link.isOver) throw new Away('not connected');
    return link;
  };
  const answer = (): Promise<void> => connected().answer();
  return {
    names: { maxBytes: 200 },
    connection: {
      address: 'memory:1',
      timeoutMs: 1_000,
      async connect() {
        await turn();
        link = await broker.connect((reason) => context.connectionLost(reason), address);
      },
    },
    topology: storeTopology(broker.store, context, answer),
    publishing: storePublishing(broker.store, answer),
    consuming: {
      kind: 'push',
      open: ({ queue, maxInFlight }, intake) => connected().open(queue, maxInFlight, intake),
    },
    explain,
    async close() {
      // What was told before is heard before.
      if (address !== undefined && link?.isOver === false) await link.answer().catch(() => undefined);
      link?.end('closed');
    },
  };
}
