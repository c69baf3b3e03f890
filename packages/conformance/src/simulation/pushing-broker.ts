import {
  type BackendClass,
  type Driver,
  type DriverContext,
  defineBackend,
  type Intake,
  type PushSource,
  type Received,
} from '@melange/backend-kit';
import type { Clock, Message, QueueOptions } from '@melange/core';
import { leasingCapabilities, type SimulatedBroker } from './leasing-broker.ts';
import { AnswerLost, type Network } from './network.ts';
import { Missing, type Row, type Store } from './store.ts';

interface PushedRow extends Received {
  readonly row: Row;
}

/** What a broker of the pushing family can do. */
export const pushingCapabilities: typeof leasingCapabilities = {
  ...leasingCapabilities,
  deliveriesOutliveConnections: false,
  exactDepth: true,
  fencedSettlements: true,
  tellsRedeliveries: true,
};

/** How a process is reached, so that the world can cut its connections. */
export interface Connections {
  /** Ends the connections that are open. */
  cut(): void;
}

/** Where the backend of a pushing broker finds it. */
export interface PushingBroker extends SimulatedBroker {
  /** Gets the way to cut the connections of this backend. */
  readonly onConnections: (connections: Connections) => void;
}

/** A backend whose broker sends messages by itself and takes them back when the connection is lost, as RabbitMQ does. */
export const PushingBackend: BackendClass<PushingBroker, typeof pushingCapabilities> = defineBackend({
  name: 'pushing',
  capabilities: pushingCapabilities,
  driver: pushingDriver,
});

/** One intake on one connection. */
class SimulatedChannel implements PushSource<PushedRow> {
  readonly #store: Store;
  readonly #network: Network;
  readonly #clock: Clock;
  readonly #queue: string;
  readonly #prefetch: number;
  readonly #intake: Intake<PushedRow>;
  readonly #unsettled = new Set<Row>();
  readonly #stopListening: () => void;
  #state: 'open' | 'stopped' | 'gone' = 'open';
  #pumpAt = Number.POSITIVE_INFINITY;
  #cancelPump: () => void = () => undefined;

  constructor(
    { store, network }: SimulatedBroker,
    clock: Clock,
    queue: string,
    prefetch: number,
    intake: Intake<PushedRow>,
  ) {
    this.#store = store;
    this.#network = network;
    this.#clock = clock;
    this.#queue = queue;
    this.#prefetch = prefetch;
    this.#intake = intake;
    this.#stopListening = store.onPut(() => this.#pumpSoon());
    this.#pumpSoon();
  }

  finish({ row }: PushedRow): void {
    // Written to the socket: it arrives, or the connection is gone and the message comes again.
    this.#network
      .ask(() => {
        if (!this.#unsettled.delete(row)) return;
        this.#store.remove(this.#queue, row);
        this.#pumpSoon();
      })
      .catch(() => this.lose('reset'));
  }

  acknowledge(): undefined {
    throw new Error('`finish` takes its place');
  }

  async retry(
    { message, row }: PushedRow,
    { delayMs, attempt, redeliveries }: { delayMs: number; attempt: number; redeliveries: number },
  ): Promise<void> {
    await this.#network.ask(() => this.#store.put(this.#queue, message, delayMs, attempt, redeliveries));
    this.finish({ message, row, attempt, redeliveries });
  }

  async deadLetter(taken: PushedRow, target: string, copy: Message): Promise<void> {
    await this.#network.ask(() => this.#store.put(target, copy, 0));
    this.finish(taken);
  }

  async release(batch: readonly PushedRow[]): Promise<void> {
    await this.#network.ask(() => {
      for (const { row } of batch) if (this.#unsettled.delete(row)) this.#giveBack(row);
      this.#store.wake();
    });
  }

  stop(): void {
    if (this.#state === 'open') this.#state = 'stopped';
  }

  close(): void {
    this.#stopListening();
    this.#end();
  }

  /** The connection is gone: at the broker at once, for the process when it hears of it. */
  lose(reason: string): void {
    if (this.#state === 'gone') return;
    const wasOpen = this.#state === 'open';
    this.close();
    if (wasOpen) this.#clock.schedule(() => this.#intake.lost(new AnswerLost(reason)), 1);
  }

  /** What is unsettled goes back to the queue. */
  #end(): void {
    if (this.#state === 'gone') return;
    this.#state = 'gone';
    for (const row of this.#unsettled) {
      row.redeliveries += 1;
      this.#giveBack(row);
    }
    this.#unsettled.clear();
    this.#store.wake();
  }

  #pumpSoon(): void {
    this.#pumpIn(1);
  }

  /** One look at a time is due: the earliest. */
  #pumpIn(delayMs: number): void {
    const at = this.#clock.monotonicNow() + delayMs;
    if (at >= this.#pumpAt) return;
    this.#cancelPump();
    this.#pumpAt = at;
    this.#cancelPump = this.#clock.schedule(() => {
      this.#pumpAt = Number.POSITIVE_INFINITY;
      this.#pump();
    }, delayMs);
  }

  #pump(): void {
    if (this.#state !== 'open') return;
    const now = this.#clock.monotonicNow();
    for (const row of this.#store.rows(this.#queue)) {
      if (this.#unsettled.size >= this.#prefetch) return;
      if (row.isTaken) continue;
      if (row.visibleAt > now) {
        this.#pumpIn(row.visibleAt - now);
        continue;
      }
      row.isTaken = true;
      this.#unsettled.add(row);
      const { message, attempt, redeliveries } = row;
      this.#intake.deliver({ message, attempt, redeliveries, row });
    }
  }

  #giveBack(row: Row): void {
    row.isTaken = false;
  }
}

function pushingDriver(
  options: PushingBroker,
  context: DriverContext,
): Driver<QueueOptions, Message, PushedRow> {
  const { store, network, deadLetterQueue, onConnections } = options;
  const { clock } = context;
  const channels = new Set<SimulatedChannel>();
  onConnections({
    cut() {
      for (const channel of channels) channel.lose('cut');
      channels.clear();
      context.connectionLost('cut');
    },
  });
  return {
    names: { maxBytes: 200 },
    connection: {
      address: 'broker:1',
      timeoutMs: 10_000,
      connect: () => network.ask(() => undefined),
    },
    topology: {
      declareTopic: async () => undefined,
      declareQueue: (name) => network.ask(() => store.declare(name)),
      describeQueue: (name) =>
        network.ask(() => ({ exists: true, depth: store.rows(name).length, deadLetterQueue })),
      deleteQueue: async () => undefined,
      deleteTopic: async () => undefined,
    },
    publishing: {
      encode: (message) => message,
      bytesOf: () => 1,
      limitsOf: () => ({ maxMessages: 10, maxBytes: 1_000 }),
      send: ({ name }, batch) =>
        network.ask(() => {
          for (const { encoded, delayMs } of batch) store.put(name, encoded, delayMs);
          return undefined;
        }),
    },
    consuming: {
      kind: 'push',
      async open({ queue, maxInFlight }, intake) {
        await network.ask(() => store.rows(queue));
        const channel = new SimulatedChannel(options, clock, queue, maxInFlight, intake);
        channels.add(channel);
        return channel;
      },
    },
    explain(error) {
      if (error instanceof Missing) return { kind: 'missing' };
      if (error instanceof AnswerLost) return { kind: 'unavailable', reason: error.message };
      throw error;
    },
    close() {
      for (const channel of channels) channel.close();
    },
  };
}
