import { silentLogger } from '@melange/core';
import { Network } from './broker/network.ts';
import { type Connected, SimulatedBrokers } from './broker/simulated-brokers.ts';
import { checkAtRest } from './check/at-rest.ts';
import { Ledger } from './check/ledger.ts';
import { faultsEndMs, type Plan, type PlannedFault } from './plan/plan.ts';
import { PublishingProcess } from './publishing-process.ts';
import { CacheStore } from './service/cache.ts';
import { Worker } from './service/worker.ts';
import { Random } from './time/random.ts';
import { Scheduler } from './time/scheduler.ts';
import { SimulatedProcess } from './time/simulated-process.ts';

/** Bound of the time to come to rest after the last fault, in virtual ms. */
const maxRestMs = 1_800_000;
/** Bound of the events of a run: many times what the busiest one takes. */
const maxEvents = 60_000;
/** Bound of the time to close everything, in virtual ms. */
const maxCloseMs = 600_000;
/** Troubles that nobody tries to mend any more are forgotten by then, in virtual ms. */
const recoveryMs = 130_000;
/** Every so manieth run waits for its health. */
const healthEvery = 16;

/** A process of the service in its place: what restarts there is another process. */
export interface Place {
  readonly number: number;
  readonly process: SimulatedProcess;
  readonly network: Network;
  readonly connected: Connected;
  readonly worker: Worker;
  isStopping: boolean;
}

/** Everything that takes part in a run. */
export class World {
  readonly ledger: Ledger;
  readonly brokers: SimulatedBrokers;
  readonly cacheStore: CacheStore;
  readonly publishing: PublishingProcess;
  readonly places: Place[] = [];
  readonly #plan: Plan;
  readonly #inject: (world: World, fault: PlannedFault) => void;
  readonly #random: Random;
  readonly #scheduler: Scheduler;
  /** Calls of the service's processes that must settle. */
  readonly #stopping = new Set<string>();
  #processes = 0;

  /** @param inject lets a fault strike. */
  constructor(plan: Plan, isTold: boolean, inject: (world: World, fault: PlannedFault) => void) {
    this.#plan = plan;
    this.#inject = inject;
    this.#random = new Random(plan.seed ^ 0x5eed);
    this.#scheduler = new Scheduler(this.#random.fork());
    const serverTime = new SimulatedProcess('servers', this.#scheduler);
    this.ledger = new Ledger(() => this.#scheduler.now, isTold, plan.family === 'partitioned');
    this.brokers = new SimulatedBrokers(plan, this.ledger, this.#scheduler);
    this.cacheStore = new CacheStore(serverTime);
    const network = this.#network(this.#process('publisher', 1));
    this.publishing = new PublishingProcess(plan, this.ledger, this.brokers, network, this.#random.fork());
  }

  /** Events that have happened, and the virtual time. */
  get progress(): { readonly events: number; readonly now: number } {
    return { events: this.#scheduler.count, now: this.#scheduler.now };
  }

  /** Runs the plan to its end. */
  async run(): Promise<void> {
    this.publishing.start();
    for (let number = 0; number < this.#plan.workers; number += 1) this.places.push(this.#start(number, 1));
    for (const fault of this.#plan.faults) this.later(fault.at, () => this.#inject(this, fault));
    const lastMs = this.#plan.messages.at(-1)?.at ?? 0;
    const busyMs = this.#plan.faults.length === 0 ? lastMs : faultsEndMs;
    await this.#scheduler.run(busyMs, () => this.#isTooMuch());
    await this.#scheduler.run(busyMs + maxRestMs, () => this.#isAtRest() || this.#isTooMuch());
    if (!this.#isAtRest()) this.#violateRest();
    if (this.#isTooMuch()) {
      for (const { process } of this.places) process.isAlive = false;
      return;
    }
    checkAtRest(this.#plan, this.ledger, this.brokers);
    if (this.#plan.seed % healthEvery === 0 && this.#isAtRest()) await this.#checkHealth();
    await this.#close();
  }

  /** Calls back after so many ms, whatever becomes of processes. */
  later(delayMs: number, callback: () => void): void {
    this.#scheduler.schedule(callback, delayMs);
  }

  /** Breaks the connections of all workers. */
  cutAll(): void {
    for (const { connected } of this.places) connected.cut();
  }

  /** A process ends without a word. */
  crash({ process, connected }: Place): void {
    this.ledger.disturb(process.name, 0);
    process.isAlive = false;
    for (const { runs } of this.ledger.messages.values())
      for (const run of runs)
        if (run.process === process.name && run.endedAt === undefined) run.isCutOff = true;
    // The broker sees the connection go.
    connected.cut();
  }

  /** A process stops as it is told, and another one takes its place. */
  async stop(
    place: Place,
    { deadlineMs, forMs, isUpgrade }: { deadlineMs: number; forMs: number; isUpgrade: boolean },
  ): Promise<void> {
    if (place.isStopping) return;
    place.isStopping = true;
    const { process, worker, connected } = place;
    this.ledger.disturb(process.name, deadlineMs);
    this.#stopping.add(process.name);
    const begun = this.ledger.now;
    await worker.stop(deadlineMs);
    await connected.backend.close();
    if (!process.isAlive) return;
    this.#stopping.delete(process.name);
    this.#checkStopped(place, this.ledger.now - begun, deadlineMs);
    this.crash(place);
    this.startLater(place.number, forMs, isUpgrade ? 2 : process.version);
  }

  /** Another process takes the place, after so many ms. */
  startLater(number: number, delayMs: number, version: number): void {
    this.later(delayMs, () => {
      this.places[number] = this.#start(number, version);
    });
  }

  #isAtRest(): boolean {
    if (this.publishing.open > 0 || this.brokers.depth > 0) return false;
    for (const name of this.#stopping)
      if (this.places.some(({ process }) => process.name === name && process.isAlive)) return false;
    return true;
  }

  /** Work without end would go on and on: copies of copies, a question that is asked without a pause. */
  #isTooMuch(): boolean {
    return this.#scheduler.count > maxEvents;
  }

  #violateRest(): void {
    if (this.#isTooMuch()) {
      this.ledger.violate('work is bounded', `after ${maxEvents} events it goes on`);
      return;
    }
    const ids = this.brokers.left.map(({ id }) => id).join(', ');
    const { open } = this.publishing;
    this.ledger.violate(
      'everything comes to rest',
      `half an hour after the last fault ${ids === '' ? 'nothing is' : `${ids} are`} in the queue, ${open} publishes have no answer, ${[...this.#stopping].join(', ') || 'nobody'} is stopping`,
    );
  }

  /** When nothing is wrong any more, nothing is said to be. */
  async #checkHealth(): Promise<void> {
    await this.#scheduler.run(this.#scheduler.now + recoveryMs, () => false);
    for (const { process, worker, isStopping } of this.places) {
      if (!process.isAlive || isStopping) continue;
      const { status, detail } = await worker.dispatcher.health();
      if (status !== 'healthy')
        this.ledger.violate('trouble that is over is told to be', `${process.name} is ${status}: ${detail}`);
    }
  }

  /** Every call that was made must end: closing is one of them. */
  async #close(): Promise<void> {
    const open = new Set<string>();
    const watch = (name: string, closing: Promise<unknown>): void => {
      open.add(name);
      const over = (): boolean => open.delete(name);
      closing.then(over, over);
    };
    watch('the publisher', this.publishing.close());
    for (const { process, worker, connected, isStopping } of this.places) {
      if (!process.isAlive || isStopping) continue;
      watch(
        process.name,
        worker.stop(1_000).then(() => connected.backend.close()),
      );
    }
    await this.#scheduler.run(this.#scheduler.now + maxCloseMs, () => open.size === 0);
    for (const name of open)
      this.ledger.violate('every call settles', `${name} was not closed within ten minutes`);
    for (const { process } of this.places) process.isAlive = false;
  }

  /** "stops intake at once, waits for running handlers up to the deadline": and what was asked of a broker, in bounded time. */
  #checkStopped({ process }: Place, tookMs: number, deadlineMs: number): void {
    const boundMs = deadlineMs + 60_000;
    if (tookMs > boundMs)
      this.ledger.violate(
        'stopping is bounded',
        `${process.name} took ${tookMs} ms, with a deadline of ${deadlineMs} ms`,
      );
  }

  #start(number: number, version: number): Place {
    const process = this.#process(`worker ${number}`, version);
    // It joins the others.
    this.ledger.disturb(process.name, 0, 10_000);
    const network = this.#network(process);
    const random = this.#random.fork().next;
    const connected = this.brokers.connect(network, { clock: process, random, logger: silentLogger });
    const place: { -readonly [Key in keyof Place]: Place[Key] } = {
      number,
      process,
      network,
      connected,
      worker: new Worker({
        plan: this.#plan,
        process,
        backend: connected.backend,
        network,
        cacheStore: this.cacheStore,
        ledger: this.ledger,
        random: this.#random.fork().next,
        endProcess: () => this.#endProcess(place),
      }),
      isStopping: false,
    };
    void place.worker.run();
    return place;
  }

  #endProcess(place: Place): void {
    if (!place.process.isAlive) return;
    this.ledger.strike('handler-ends-process');
    this.crash(place);
    this.startLater(place.number, 1_000, place.process.version);
  }

  #process(name: string, version: number): SimulatedProcess {
    this.#processes += 1;
    return new SimulatedProcess(`${name} (process ${this.#processes})`, this.#scheduler, version);
  }

  #network(process: SimulatedProcess): Network {
    return new Network(this.#scheduler, this.#random.fork(), process, (fault) => this.ledger.strike(fault));
  }
}
