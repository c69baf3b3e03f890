import type { Delivery, SubscribeOptions, Subscription } from '@melange/core';

/** An open intake. Those of one queue in one process share a member of its group. */
export class KafkaSubscription implements Subscription {
  readonly ended: Promise<void>;
  readonly untilEmpty: boolean;
  readonly receive: (delivery: Delivery) => void;
  readonly #maxInFlight: number;
  readonly #onChange: (subscription: KafkaSubscription) => void;
  readonly #onIdle: () => Promise<void>;
  #isOpen = true;
  #unsettled = 0;
  #closing: Promise<void> | undefined;
  #onSettled: (() => void) | undefined;
  #resolveEnded: () => void = () => undefined;
  #rejectEnded: (error: unknown) => void = () => undefined;

  /**
   * @param onChange called when it takes no more, and when room was made.
   * @param onIdle called when it is closed and nothing of it is unsettled; `close` waits for it.
   */
  constructor(
    options: SubscribeOptions,
    receive: (delivery: Delivery) => void,
    onChange: (subscription: KafkaSubscription) => void,
    onIdle: () => Promise<void>,
  ) {
    this.#maxInFlight = options.maxInFlight;
    this.untilEmpty = options.untilEmpty === true;
    this.receive = receive;
    this.#onChange = onChange;
    this.#onIdle = onIdle;
    this.ended = new Promise((resolve, reject) => {
      this.#resolveEnded = resolve;
      this.#rejectEnded = reject;
    });
    // Whoever does not look at `ended` must not crash by it.
    this.ended.catch(() => undefined);
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  get unsettled(): number {
    return this.#unsettled;
  }

  get hasRoom(): boolean {
    return this.#isOpen && this.#unsettled < this.#maxInFlight;
  }

  close(): Promise<void> {
    this.end();
    this.#closing ??= this.#finish();
    return this.#closing;
  }

  /** Intake is over: well, or by an error. */
  end(error?: Error): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    if (error === undefined) this.#resolveEnded();
    else this.#rejectEnded(error);
    this.#onChange(this);
  }

  delivering(): void {
    this.#unsettled += 1;
  }

  settled(): void {
    this.#unsettled -= 1;
    if (this.#unsettled === 0) this.#onSettled?.();
    this.#onChange(this);
  }

  async #finish(): Promise<void> {
    if (this.#unsettled > 0) {
      await new Promise<void>((resolve) => {
        this.#onSettled = resolve;
      });
    }
    await this.#onIdle();
  }
}
