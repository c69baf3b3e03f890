import { reconnectDelayMs } from '@melange/backend-kit';

interface Trouble {
  failures: number;
  /** Of the monotonic clock: nothing is tried before. */
  until: number;
  isProbing: boolean;
}

/**
 * Destinations that took nothing of what was published to them: a queue that is missing, a broker that is away. They are left alone for
 * a moment, then tried with one message, so that they cost the others nothing.
 */
export class Destinations {
  readonly #now: () => number;
  readonly #troubles = new Map<string, Trouble>();
  #recovered: string[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  has(destination: string): boolean {
    return this.#troubles.has(destination);
  }

  /** All of a call failed. The first time it may have been for the message itself: another one is tried at once. Answers how often. */
  failed(destination: string): number {
    const trouble = this.#troubles.get(destination) ?? { failures: 0, until: 0, isProbing: false };
    trouble.failures += 1;
    trouble.until = this.#now() + (trouble.failures === 1 ? 0 : reconnectDelayMs(trouble.failures - 1));
    trouble.isProbing = false;
    this.#troubles.set(destination, trouble);
    return trouble.failures;
  }

  /** The broker took some of a call, or refused it as such: it answers. True when it had not before. */
  worked(destination: string): boolean {
    if (!this.#troubles.delete(destination)) return false;
    this.#recovered.push(destination);
    return true;
  }

  /** The probe found nothing to try. */
  probeEnded(destination: string): void {
    const trouble = this.#troubles.get(destination);
    if (trouble !== undefined) trouble.isProbing = false;
  }

  get excluded(): string[] {
    const now = this.#now();
    return [...this.#troubles].flatMap(([name, { until, isProbing }]) =>
      isProbing || until > now ? [name] : [],
    );
  }

  /** Destinations to be tried with one message now; they count as being tried from here on. */
  takeProbed(): string[] {
    const now = this.#now();
    const probed: string[] = [];
    for (const [name, trouble] of this.#troubles) {
      if (trouble.isProbing || trouble.until > now) continue;
      trouble.isProbing = true;
      probed.push(name);
    }
    return probed;
  }

  takeRecovered(): string[] {
    const recovered = this.#recovered;
    this.#recovered = [];
    return recovered;
  }

  /** Until the next one may be tried, in ms. */
  get nextProbeMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { until, isProbing } of this.#troubles.values()) if (!isProbing) next = Math.min(next, until);
    return Math.max(0, next - this.#now());
  }
}
