import type { Health, Logger } from '@melange/core';

/** What `Troubles` needs to know. */
export interface TroublesOptions {
  /** Told when a trouble begins and when it ends. Must not throw. */
  readonly logger: Logger;
  /** Age in ms from which a trouble is `unhealthy`. Default: 30,000. */
  readonly unhealthyAfterMs?: number;
  /** Milliseconds of a clock that never steps. Default: `performance.now`. */
  readonly monotonicNow?: () => number;
}

interface Trouble {
  detail: string;
  readonly isMinor: boolean;
  readonly since: number;
  /** When it is forgotten, unless it is reported again before. */
  forgottenAt: number;
}

/**
 * What does not work at present, and since when: the one rule of health for every backend. A trouble makes the backend
 * `degraded` at once and `unhealthy` when it lasts. The log gets one line when it begins and one when it ends,
 * however often it is reported between.
 */
export class Troubles {
  readonly #logger: Logger;
  readonly #unhealthyAfterMs: number;
  readonly #now: () => number;
  readonly #bySubject = new Map<string, Trouble>();
  readonly #notes = new Set<string>();

  constructor({
    logger,
    unhealthyAfterMs = 30_000,
    monotonicNow = () => performance.now(),
  }: TroublesOptions) {
    this.#logger = logger;
    this.#unhealthyAfterMs = unhealthyAfterMs;
    this.#now = monotonicNow;
  }

  /**
   * Something does not work. A trouble that is known keeps its age; a new detail replaces the old one.
   *
   * @param subject what does not work, as a sentence goes on with it: `receiving from queue "orders"`.
   * @param detail why. Free of credentials.
   * @param isMinor it never makes the backend unhealthy: the rest works, and nobody could mend it by a restart.
   */
  begin(subject: string, detail: string, isMinor = false): void {
    this.#forgetRested();
    const known = this.#bySubject.get(subject);
    if (known !== undefined) {
      known.detail = detail;
      known.forgottenAt = Number.POSITIVE_INFINITY;
      return;
    }
    const forgottenAt = Number.POSITIVE_INFINITY;
    this.#bySubject.set(subject, { detail, isMinor, since: this.#now(), forgottenAt });
    this.#logger.warn(`trouble ${subject}`, { reason: detail });
  }

  /** It works again. Does nothing when it was no trouble. */
  end(subject: string): void {
    const trouble = this.#bySubject.get(subject);
    if (trouble === undefined) return;
    this.#bySubject.delete(subject);
    this.#logger.info(`recovered from trouble ${subject}`, {
      afterMs: Math.round(this.#now() - trouble.since),
    });
  }

  /**
   * Nobody tries any more, so that nothing would tell that it works again: the trouble is forgotten when it is not reported
   * again within this time. Does nothing when it was no trouble.
   */
  rest(subject: string, forgottenAfterMs: number): void {
    const trouble = this.#bySubject.get(subject);
    if (trouble !== undefined) trouble.forgottenAt = this.#now() + forgottenAfterMs;
  }

  /** It is not of interest any more: its queue is no longer consumed, its topic was deleted. Logs nothing. */
  forget(subject: string): void {
    this.#bySubject.delete(subject);
  }

  /**
   * It works, but not in the way that is meant to be taken: one warning, and from then on a line in the detail of `health`,
   * whatever its status. Told again it changes nothing.
   */
  note(text: string): void {
    if (this.#notes.has(text)) return;
    this.#notes.add(text);
    this.#logger.warn(text);
  }

  /** Whether this is a trouble now. */
  has(subject: string): boolean {
    this.#forgetRested();
    return this.#bySubject.has(subject);
  }

  /** The oldest trouble decides, a minor one only where it is alone; its detail says for how long it has lasted, and what was noted. */
  health(): Health {
    this.#forgetRested();
    // Insertion order is the order of age.
    const all = [...this.#bySubject];
    const worst = all.find(([, { isMinor }]) => !isMinor) ?? all[0];
    if (worst === undefined)
      return this.#notes.size === 0
        ? { status: 'healthy' }
        : { status: 'healthy', detail: [...this.#notes].join('; ') };
    const [subject, { detail, since, isMinor }] = worst;
    const ageMs = this.#now() - since;
    return {
      status: !isMinor && ageMs >= this.#unhealthyAfterMs ? 'unhealthy' : 'degraded',
      detail: [`trouble ${subject} for ${Math.round(ageMs / 1000)} s: ${detail}`, ...this.#notes].join('; '),
    };
  }

  #forgetRested(): void {
    const now = this.#now();
    for (const [subject, { forgottenAt }] of this.#bySubject)
      if (forgottenAt <= now) this.#bySubject.delete(subject);
  }
}
