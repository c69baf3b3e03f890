import type { BackendOptions } from '@melange/backend-kit';
import type { Message, MessagingBackend } from '@melange/core';
import { Departures } from '../check/departures.ts';
import type { Ledger } from '../check/ledger.ts';
import type { Plan } from '../plan/plan.ts';
import type { Scheduler } from '../time/scheduler.ts';
import { ConsumerGroup } from './consumer-group.ts';
import { LeasingBackend } from './leasing-broker.ts';
import { deadLetterQueue, otherQueue } from './names.ts';
import type { Network } from './network.ts';
import { keyPartitions, PartitionLog } from './partition-log.ts';
import { PartitionedBackend } from './partitioned-broker.ts';
import { type Connections, PushingBackend } from './pushing-broker.ts';
import { QueueStore } from './queue-store.ts';

/** A backend of one process, and the way to cut its connections. */
export interface Connected {
  readonly backend: MessagingBackend;
  cut(): void;
}

/** The broker of a run, of the plan's family. */
export class SimulatedBrokers {
  readonly #plan: Plan;
  readonly #store: QueueStore | undefined;
  readonly #log: PartitionLog | undefined;
  readonly #group: ConsumerGroup | undefined;
  readonly #ledger: Ledger;
  readonly #scheduler: Scheduler;

  constructor(plan: Plan, ledger: Ledger, scheduler: Scheduler) {
    this.#plan = plan;
    this.#ledger = ledger;
    this.#scheduler = scheduler;
    const departures = new Departures(plan, ledger);
    if (plan.family !== 'partitioned') {
      this.#store = new QueueStore(ledger, departures);
      return;
    }
    this.#log = new PartitionLog(ledger, departures);
    this.#group = new ConsumerGroup(scheduler, this.#log.partitions.length, keyPartitions);
  }

  /** How many messages of the service are neither done nor dead. */
  get depth(): number {
    return this.#store?.depth ?? this.#log?.depth ?? 0;
  }

  /** Messages of the service that are neither done nor dead. */
  get left(): readonly Message[] {
    return this.#store?.left ?? this.#log?.left ?? [];
  }

  /** Ids of the messages in the dead-letter queue, or in that of the other service. */
  idsIn(name: string): Set<string> {
    return this.#store?.idsIn(name) ?? this.#log?.idsIn(name) ?? new Set();
  }

  /** The queue of the other service takes nothing, for so many ms. */
  queueAway(forMs: number): void {
    this.#store?.goAway(otherQueue, forMs);
    this.#log?.goAway(otherQueue, forMs);
  }

  /** Partitions are handed out anew. */
  rebalance(): void {
    this.#group?.rebalance();
  }

  /** A replica takes over in so many ms that knows nothing from now on. */
  failOver(forgetsMs: number, onOver: () => void): void {
    const store = this.#store;
    if (store === undefined) return;
    const snapshot = store.snapshot();
    const since = this.#ledger.now;
    this.#scheduler.schedule(() => {
      store.restore(snapshot, since);
      onOver();
    }, forgetsMs);
  }

  /** Connects a process. */
  connect(network: Network, options: BackendOptions): Connected {
    const dead = this.#plan.hasDeadLetterQueue ? deadLetterQueue : undefined;
    let connections: Connections | undefined;
    const onConnections = (made: Connections): void => {
      connections = made;
    };
    const cut = (): void => connections?.cut();
    const shared = { ...options, network, deadLetterQueue: dead, onConnections };
    if (this.#log !== undefined && this.#group !== undefined) {
      const backend = new PartitionedBackend({ ...shared, log: this.#log, group: this.#group });
      return { backend, cut };
    }
    const store = this.#store as QueueStore;
    if (this.#plan.family === 'pushing') return { backend: new PushingBackend({ ...shared, store }), cut };
    return { backend: new LeasingBackend({ ...shared, store }), cut };
  }
}
