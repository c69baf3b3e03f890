import type { Clock } from '@melange/core';
import type { Scheduler } from './scheduler.ts';

/** Wall clocks begin here, in ms since the epoch. */
const beginning = 1_700_000_000_000;

/** A process: it may end or stand still at any step, and then nothing of it happens. Its wall clock may be set. */
export class SimulatedProcess implements Clock {
  readonly #scheduler: Scheduler;
  readonly name: string;
  /** Version of the service that it runs. */
  readonly version: number;
  isAlive = true;
  /** Until when it stands still, in virtual ms. */
  frozenUntil = 0;
  /** Callbacks that are due later. */
  timers = 0;
  #offsetMs = beginning;
  #stepsLeft = Number.POSITIVE_INFINITY;
  #onLastStep: () => void = () => undefined;

  constructor(name: string, scheduler: Scheduler, version = 1) {
    this.name = name;
    this.version = version;
    this.#scheduler = scheduler;
  }

  now(): number {
    return this.#offsetMs + this.#scheduler.now;
  }

  monotonicNow(): number {
    return this.#scheduler.now;
  }

  schedule(callback: () => void, delayMs: number): () => void {
    return this.#scheduler.schedule(callback, delayMs, this);
  }

  /** Sets the wall clock, as an administrator or a time server does. */
  setClock(byMs: number): void {
    this.#offsetMs += byMs;
  }

  /** Calls back at the step that comes after so many others: a timer or an answer that it gets, or a request that it makes. */
  afterSteps(steps: number, callback: () => void): void {
    if (steps === 0) {
      callback();
      return;
    }
    this.#stepsLeft = steps;
    this.#onLastStep = callback;
  }

  /** It does something. */
  step(): void {
    this.#stepsLeft -= 1;
    if (this.#stepsLeft > 0) return;
    this.#stepsLeft = Number.POSITIVE_INFINITY;
    this.#onLastStep();
  }

  /** Resolves after so many ms, and never when the process has ended by then. */
  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.schedule(resolve, delayMs));
  }
}
