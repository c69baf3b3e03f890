import type { Random } from '../time/random.ts';
import type { Scheduler } from '../time/scheduler.ts';
import type { SimulatedProcess } from '../time/simulated-process.ts';

/** What may go wrong between a process and its servers, while a fault lasts. */
export type NetworkFault =
  /** The request does not arrive. */
  | 'request-lost'
  /** The server does what it is asked, and the answer is lost. */
  | 'answer-lost'
  /** The request arrives twice, the second time later. */
  | 'request-doubled'
  /** Nothing is answered until the fault is over. */
  | 'stall'
  /** Requests and answers come late, and overtake each other. */
  | 'late';

/** An answer was not had: the client of a real broker would throw the like. */
export class AnswerLost extends Error {}

/** The way from one process to its servers, with the faults of the moment. */
export class Network {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #process: SimulatedProcess;
  readonly #onFault: (fault: NetworkFault) => void;
  readonly #faults = new Map<NetworkFault, number>();
  #disturbedUntil = 0;

  /** @param onFault called when a fault strikes a request. */
  constructor(
    scheduler: Scheduler,
    random: Random,
    process: SimulatedProcess,
    onFault: (fault: NetworkFault) => void,
  ) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#process = process;
    this.#onFault = onFault;
  }

  /** The process that asks. */
  get process(): SimulatedProcess {
    return this.#process;
  }

  /** From now on, for so many ms. */
  disturb(fault: NetworkFault, forMs: number): void {
    const until = this.#scheduler.now + forMs;
    this.#faults.set(fault, Math.max(this.#faults.get(fault) ?? 0, until));
    this.#disturbedUntil = Math.max(this.#disturbedUntil, until);
  }

  /**
   * Asks a server: `request` runs there, at one moment, after a while; the answer comes after another. Of a process
   * that has ended nothing arrives that was not on its way, and it hears nothing.
   */
  ask<Answer>(request: () => Answer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#process.step();
      if (!this.#process.isAlive) return;
      if (this.#disturbedUntil > this.#scheduler.now) {
        this.#askDisturbed(request, resolve, reject);
        return;
      }
      this.#scheduler.schedule(() => this.#handle(request, resolve, reject), this.#latencyMs());
    });
  }

  #askDisturbed<Answer>(
    request: () => Answer,
    resolve: (answer: Answer) => void,
    reject: (error: unknown) => void,
  ): void {
    if (this.#strikes('request-lost')) {
      const lose = (): void => reject(new AnswerLost('the connection was reset'));
      this.#process.schedule(lose, this.#latencyMs() + this.#latencyMs());
      return;
    }
    const isAnswerLost = this.#strikes('answer-lost');
    // Few of them: copies of copies would multiply beyond all measure.
    if (this.#strikes('request-doubled', 0.1)) {
      const again = (): void =>
        this.#handle(
          request,
          () => undefined,
          () => undefined,
        );
      this.#scheduler.schedule(again, this.#latencyMs() + this.#random.between(1, 3_000));
    }
    const answered = isAnswerLost ? () => reject(new AnswerLost('the answer was lost')) : resolve;
    this.#scheduler.schedule(() => this.#handle(request, answered, reject), this.#latencyMs());
  }

  /** At the server. */
  #handle<Answer>(
    request: () => Answer,
    resolve: (answer: Answer) => void,
    reject: (error: unknown) => void,
  ): void {
    let answer: Answer;
    try {
      answer = request();
    } catch (error) {
      this.#process.schedule(() => reject(error), this.#latencyMs());
      return;
    }
    this.#process.schedule(() => resolve(answer), this.#latencyMs());
  }

  #latencyMs(): number {
    const usual = this.#random.between(1, 4);
    const { now } = this.#scheduler;
    if (this.#disturbedUntil <= now) return usual;
    const stalledUntil = this.#faults.get('stall') ?? 0;
    const stallMs = Math.max(0, stalledUntil - now);
    if (stallMs > 0) this.#onFault('stall');
    return usual + stallMs + (this.#strikes('late') ? this.#random.between(0, 3_000) : 0);
  }

  /** Whether a request is struck by the fault: this share of them, while it lasts. */
  #strikes(fault: NetworkFault, share = 0.5): boolean {
    if ((this.#faults.get(fault) ?? 0) <= this.#scheduler.now || !this.#random.chance(share)) return false;
    this.#onFault(fault);
    return true;
  }
}
