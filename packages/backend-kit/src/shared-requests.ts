import type { Clock, MaybePromise } from '@melange/core';
import type { BatchAnswer, BatchLimits } from './driver.ts';

/** How items share requests. */
export interface SharedRequestsSettings<Item> {
  /** Sends one batch: resolves with an error in the place of each item that failed, rejects when all did. */
  readonly send: (batch: readonly Item[]) => MaybePromise<BatchAnswer>;
  /** Time of the linger. */
  readonly clock: Clock;
  /** Default: 1,000 items of a request, one request at a time, no linger. */
  readonly limits?: Partial<BatchLimits>;
  /** How many items there may be at present, those that were added included: when all are added, none is waited for. Default: any number. */
  readonly inHand?: () => number;
}

/** A request, with the items that share it. */
interface Request<Item> {
  readonly batch: Item[];
  /** Errors by place; nothing when all succeeded. */
  readonly answer: Promise<BatchAnswer>;
  readonly resolve: (answer: Promise<BatchAnswer>) => void;
}

/**
 * Lets items share requests: while requests are under way, the items that are added meanwhile go together in the next
 * one. One that is added alone goes at once; with `lingerMs`, it waits for the others that are in hand.
 */
export class SharedRequests<Item> {
  readonly #settings: SharedRequestsSettings<Item>;
  readonly #maxMessages: number;
  readonly #maxUnderWay: number;
  readonly #lingerMs: number;
  #next: Request<Item> | undefined;
  readonly #full: Request<Item>[] = [];
  #underWay = 0;
  /** Items without an answer. */
  #open = 0;
  #isPumpDue = false;
  #cancelLinger: (() => void) | undefined;

  constructor(settings: SharedRequestsSettings<Item>) {
    const { maxMessages = 1_000, maxUnderWay = 1, lingerMs = 0 } = settings.limits ?? {};
    this.#settings = settings;
    this.#maxMessages = maxMessages;
    this.#maxUnderWay = maxUnderWay;
    this.#lingerMs = lingerMs;
  }

  /** Resolves when the item's request succeeded. Rejects with the item's own error, or that of the request. */
  async add(item: Item): Promise<void> {
    this.#next ??= newRequest();
    const request = this.#next;
    const place = request.batch.push(item) - 1;
    this.#open += 1;
    if (request.batch.length >= this.#maxMessages) {
      this.#full.push(request);
      this.#next = undefined;
    }
    this.#pumpSoon();
    try {
      const errors = await request.answer;
      const error = errors?.[place];
      if (error !== undefined) throw error;
    } finally {
      this.#open -= 1;
    }
  }

  #pumpSoon(): void {
    if (this.#isPumpDue || this.#underWay >= this.#maxUnderWay) return;
    this.#isPumpDue = true;
    queueMicrotask(() => {
      this.#isPumpDue = false;
      this.#pump(false);
    });
  }

  /** @param isDue whether a request that is not full has waited long enough. */
  #pump(isDue: boolean): void {
    while (this.#underWay < this.#maxUnderWay) {
      const request = this.#full.shift() ?? (isDue || !this.#mayGrow() ? this.#next : undefined);
      if (request === undefined) {
        if (this.#next !== undefined) this.#linger();
        return;
      }
      if (request === this.#next) {
        this.#next = undefined;
        this.#cancelLinger?.();
        this.#cancelLinger = undefined;
      }
      this.#underWay += 1;
      const answer = this.#sent(request.batch);
      request.resolve(answer);
      const over = (): void => {
        this.#underWay -= 1;
        this.#pump(false);
      };
      answer.then(over, over);
    }
  }

  #mayGrow(): boolean {
    const { inHand } = this.#settings;
    return this.#lingerMs > 0 && (inHand === undefined || inHand() > this.#open);
  }

  #linger(): void {
    this.#cancelLinger ??= this.#settings.clock.schedule(() => {
      this.#cancelLinger = undefined;
      this.#pump(true);
    }, this.#lingerMs);
  }

  async #sent(batch: readonly Item[]): Promise<BatchAnswer> {
    return this.#settings.send(batch);
  }
}

function newRequest<Item>(): Request<Item> {
  let resolve: Request<Item>['resolve'] = () => undefined;
  const answer = new Promise<BatchAnswer>((settle) => {
    resolve = settle;
  });
  return { batch: [], answer, resolve };
}
