import type { Message, MessagingBackend } from '@melange/core';
import { silentLogger } from '@melange/core';
import { CacheStore, simulatedCache } from './cache.ts';
import { checkAtRest } from './invariants.ts';
import { LeasingBackend } from './leasing-broker.ts';
import { Ledger, type TimelineEntry, type Violation } from './ledger.ts';
import { Network } from './network.ts';
import { faultsEndMs, type Plan, type PlannedFault, publisher } from './plan.ts';
import { type Connections, PushingBackend } from './pushing-broker.ts';
import { Random } from './random.ts';
import { Scheduler, SimulatedProcess } from './scheduler.ts';
import { Store } from './store.ts';
import { Worker } from './worker.ts';

const queue = 'orders';
const deadLetterQueue = 'orders-dead';
/** Bound of the time to come to rest after the last fault, in virtual ms. */
const maxRestMs = 3_600_000;

/** What became of a run. */
export interface RunResult {
  /** What was run. */
  readonly plan: Plan;
  /** Invariants that did not hold, in the order in which that was seen. */
  readonly violations: readonly Violation[];
  /** Virtual time when everything had come to rest. */
  readonly restedAt: number;
  /** Events that happened. */
  readonly events: number;
  /** Only where it was asked for. */
  readonly timeline: readonly TimelineEntry[];
}

/** A process of the service in its place: what restarts there is another process. */
interface Place {
  process: SimulatedProcess;
  network: Network;
  backend: MessagingBackend;
  worker: Worker;
  connections: Connections | undefined;
  isStopping: boolean;
}

/** Runs a plan to its end, the same way each time. */
export async function runPlan(plan: Plan, options: { readonly tell?: boolean } = {}): Promise<RunResult> {
  const world = new World(plan, options.tell === true);
  await world.run();
  return world.result();
}

class World {
  readonly #plan: Plan;
  readonly #random: Random;
  readonly #scheduler: Scheduler;
  readonly #ledger: Ledger;
  readonly #store: Store;
  readonly #cache: CacheStore;
  readonly #places: Place[] = [];
  #publisherNetwork: Network | undefined;
  #publishing = 0;
  #processes = 0;

  constructor(plan: Plan, isTold: boolean) {
    this.#plan = plan;
    this.#random = new Random(plan.seed ^ 0x5eed);
    this.#scheduler = new Scheduler(this.#random.fork());
    const now = (): number => this.#scheduler.now;
    this.#ledger = new Ledger(now, isTold);
    this.#store = new Store(this.#ledger, now, deadLetterQueue);
    this.#cache = new CacheStore(now);
    this.#store.declare(queue);
    this.#store.declare(deadLetterQueue);
  }

  async run(): Promise<void> {
    const process = this.#process('publisher');
    this.#publisherNetwork = this.#network(process);
    const { backend } = this.#connect(process, this.#publisherNetwork);
    this.#plan.messages.forEach((message, place) => {
      this.#scheduler.schedule(() => void this.#publish(backend, place), message.at);
    });
    for (let place = 0; place < this.#plan.workers; place += 1) this.#places.push(this.#start(place));
    for (const fault of this.#plan.faults) this.#scheduler.schedule(() => this.#happen(fault), fault.at);
    await this.#scheduler.run(faultsEndMs, () => false);
    await this.#scheduler.run(faultsEndMs + maxRestMs, () => this.#isAtRest());
    if (!this.#isAtRest()) {
      const left = this.#store.rows(queue).map(({ message }) => message.id);
      this.#ledger.violate(
        'everything comes to rest',
        `after an hour ${left.join(', ')} are still in the queue, ${this.#publishing} publishes open`,
      );
    }
    checkAtRest(this.#plan, this.#ledger);
    await this.#close(backend);
  }

  result(): RunResult {
    const { violations, timeline } = this.#ledger;
    const { now: restedAt, count: events } = this.#scheduler;
    return { plan: this.#plan, violations, restedAt, events, timeline };
  }

  #isAtRest(): boolean {
    return this.#publishing === 0 && this.#store.rows(queue).length === 0;
  }

  async #publish(backend: MessagingBackend, place: number): Promise<void> {
    const { key } = this.#plan.messages[place] ?? {};
    const record = this.#ledger.create(`m${place}`, key, place);
    const message: Message = {
      id: record.id,
      content: String(place),
      manifest: 'text',
      serializerId: 1,
      key,
      headers: {},
      publishedAt: 0,
    };
    this.#publishing += 1;
    try {
      await backend.publishToQueue(queue, [message], { deadlineMs: 20_000 });
      record.isConfirmed = true;
      this.#ledger.tell('publisher', () => `knows that ${record.id} is safe`);
    } catch {
      this.#ledger.tell('publisher', () => `does not know what became of ${record.id}`);
    }
    this.#publishing -= 1;
  }

  /** Every call that was made must end: closing is one of them. */
  async #close(publishing: MessagingBackend): Promise<void> {
    const open = new Set<string>();
    const watch = (name: string, promise: Promise<unknown>): void => {
      open.add(name);
      const over = (): boolean => open.delete(name);
      promise.then(over, over);
    };
    watch('the publisher', publishing.close());
    this.#places.forEach(({ worker, backend, process }, place) => {
      if (!process.isAlive) return;
      watch(
        `worker ${place}`,
        worker.stop(1_000).then(() => backend.close()),
      );
    });
    await this.#scheduler.run(this.#scheduler.now + 600_000, () => open.size === 0);
    for (const name of open)
      this.#ledger.violate('every call settles', `${name} was not closed within ten minutes`);
    for (const { process } of this.#places) process.isAlive = false;
  }

  #happen(fault: PlannedFault): void {
    this.#ledger.tell('fault', () => JSON.stringify(fault));
    if (fault.kind === 'cache-away') {
      this.#cache.goAway(fault.forMs);
      return;
    }
    if (fault.worker === publisher) {
      if (fault.kind === 'network') this.#publisherNetwork?.disturb(fault.fault, fault.forMs);
      return;
    }
    const place = this.#places[fault.worker];
    if (place === undefined || !place.process.isAlive) return;
    switch (fault.kind) {
      case 'network':
        place.network.disturb(fault.fault, fault.forMs);
        return;
      case 'cut':
        place.connections?.cut();
        return;
      case 'clock-step':
        place.process.step(fault.byMs);
        return;
      case 'crash':
        this.#crash(place);
        this.#startLater(fault.worker, fault.forMs);
        return;
      case 'stop':
        void this.#stop(place, fault);
        return;
    }
  }

  #crash({ process, connections }: Place): void {
    process.isAlive = false;
    // The broker sees the connection go.
    connections?.cut();
  }

  async #stop(
    place: Place,
    { worker, deadlineMs, forMs }: PlannedFault & { readonly kind: 'stop' },
  ): Promise<void> {
    if (place.isStopping) return;
    place.isStopping = true;
    await place.worker.stop(deadlineMs);
    await place.backend.close();
    if (!place.process.isAlive) return;
    this.#crash(place);
    this.#startLater(worker, forMs);
  }

  #startLater(place: number, delayMs: number): void {
    this.#scheduler.schedule(() => {
      this.#places[place] = this.#start(place);
    }, delayMs);
  }

  #start(place: number): Place {
    const process = this.#process(`worker ${place}`);
    const network = this.#network(process);
    const { backend, connections } = this.#connect(process, network);
    const worker = new Worker({
      plan: this.#plan,
      process,
      backend,
      cache: this.#plan.hasCache ? simulatedCache(this.#cache, network) : undefined,
      ledger: this.#ledger,
      queue,
      random: this.#random.fork().next,
    });
    void worker.run();
    return { process, network, backend, worker, connections, isStopping: false };
  }

  #process(name: string): SimulatedProcess {
    this.#processes += 1;
    return new SimulatedProcess(`${name} (process ${this.#processes})`, this.#scheduler);
  }

  #network(process: SimulatedProcess): Network {
    return new Network(this.#scheduler, this.#random.fork(), process);
  }

  #connect(
    process: SimulatedProcess,
    network: Network,
  ): { readonly backend: MessagingBackend; readonly connections: Connections | undefined } {
    const shared = {
      store: this.#store,
      network,
      deadLetterQueue,
      clock: process,
      random: this.#random.fork().next,
      logger: silentLogger,
    };
    if (this.#plan.family === 'leasing')
      return { backend: new LeasingBackend(shared), connections: undefined };
    let connections: Connections | undefined;
    const backend = new PushingBackend({
      ...shared,
      onConnections: (made) => {
        connections = made;
      },
    });
    return { backend, connections };
  }
}
