import type { BatchAnswer, BatchLimits, Received, SettleDriver } from '../driver.ts';

/** A request to acknowledge, with the messages that share it. */
interface Request<Taken> {
  readonly batch: Taken[];
  /** Errors by place; nothing when all left the broker. */
  readonly answer: Promise<BatchAnswer>;
  readonly resolve: (answer: Promise<BatchAnswer>) => void;
}

/**
 * Lets acknowledgements share requests: while requests are under way, the messages that are done meanwhile go together
 * in the next one. A quiet queue's acknowledgement goes at once.
 */
export class Acknowledgements<Taken extends Received> {
  readonly #send: SettleDriver<Taken>['acknowledge'];
  readonly #maxMessages: number;
  readonly #maxUnderWay: number;
  #next: Request<Taken> | undefined;
  readonly #full: Request<Taken>[] = [];
  #underWay = 0;
  #isPumpDue = false;

  /** @param limits default: 1,000 messages a request, one request at a time. */
  constructor(send: SettleDriver<Taken>['acknowledge'], limits: Partial<BatchLimits> = {}) {
    this.#send = send;
    this.#maxMessages = limits.maxMessages ?? 1_000;
    this.#maxUnderWay = limits.maxUnderWay ?? 1;
  }

  /** Resolves when the message left the broker. Rejects with what the driver says. */
  async add(taken: Taken): Promise<void> {
    this.#next ??= newRequest();
    const request = this.#next;
    const place = request.batch.push(taken) - 1;
    if (request.batch.length >= this.#maxMessages) {
      this.#full.push(request);
      this.#next = undefined;
    }
    this.#pumpSoon();
    const errors = await request.answer;
    const error = errors?.[place];
    if (error !== undefined) throw error;
  }

  #pumpSoon(): void {
    if (this.#isPumpDue || this.#underWay >= this.#maxUnderWay) return;
    this.#isPumpDue = true;
    queueMicrotask(() => {
      this.#isPumpDue = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#underWay < this.#maxUnderWay) {
      const request = this.#full.shift() ?? this.#next;
      if (request === undefined) return;
      if (request === this.#next) this.#next = undefined;
      this.#underWay += 1;
      const answer = this.#sent(request.batch);
      request.resolve(answer);
      const over = (): void => {
        this.#underWay -= 1;
        this.#pump();
      };
      answer.then(over, over);
    }
  }

  async #sent(batch: readonly Taken[]): Promise<BatchAnswer> {
    return this.#send(batch);
  }
}

function newRequest<Taken>(): Request<Taken> {
  let resolve: Request<Taken>['resolve'] = () => undefined;
  const answer = new Promise<BatchAnswer>((settle) => {
    resolve = settle;
  });
  return { batch: [], answer, resolve };
}
