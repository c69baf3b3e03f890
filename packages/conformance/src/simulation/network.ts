import type { Random } from './random.ts';
import type { Scheduler, SimulatedProcess } from './scheduler.ts';

/** What may go wrong between a process and a server, while a fault lasts. */
export type NetworkFault =
  /** The request does not arrive. */
  | 'request-lost'
  /** The server does what it is asked, and the answer is lost. */
  | 'answer-lost'
  /** Nothing is answered until the fault is over. */
  | 'stall'
  /** Answers come late. */
  | 'late';

/** An answer was not had: the client of a real broker would throw the like. */
export class AnswerLost extends Error {}

/** The way from one process to one server, with the faults of the moment. */
export class Network {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #process: SimulatedProcess;
  readonly #faults = new Map<NetworkFault, number>();

  constructor(scheduler: Scheduler, random: Random, process: SimulatedProcess) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#process = process;
  }

  /** From now on, for so many ms. */
  disturb(fault: NetworkFault, forMs: number): void {
    this.#faults.set(fault, Math.max(this.#faults.get(fault) ?? 0, this.#scheduler.now + forMs));
  }

  /**
   * Asks the server: `request` runs there, at one moment, after a while; the answer comes after another. Of a process
   * that has ended nothing arrives that was not on its way, and it hears nothing.
   */
  ask<Answer>(request: () => Answer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (!this.#process.isAlive) return;
      const isRequestLost = this.#has('request-lost') && this.#random.chance(0.5);
      this.#scheduler.schedule(() => {
        if (isRequestLost) {
          this.#answer(() => reject(new AnswerLost('the connection was reset')));
          return;
        }
        let answer: () => void;
        try {
          const value = request();
          answer = () => resolve(value);
        } catch (error) {
          answer = () => reject(error as Error);
        }
        const isAnswerLost = this.#has('answer-lost') && this.#random.chance(0.5);
        this.#answer(isAnswerLost ? () => reject(new AnswerLost('the answer was lost')) : answer);
      }, this.#latencyMs());
    });
  }

  #answer(deliver: () => void): void {
    this.#process.schedule(deliver, this.#latencyMs());
  }

  #latencyMs(): number {
    const stalledUntil = this.#faults.get('stall') ?? 0;
    const stallMs = Math.max(0, stalledUntil - this.#scheduler.now);
    const lateMs = this.#has('late') ? this.#random.between(0, 3_000) : 0;
    return stallMs + lateMs + this.#random.between(0, 4);
  }

  #has(fault: NetworkFault): boolean {
    return (this.#faults.get(fault) ?? 0) > this.#scheduler.now;
  }
}
