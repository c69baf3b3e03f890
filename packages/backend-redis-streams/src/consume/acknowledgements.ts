/** Ids in one script: others have their turn between two. */
const maxIdsAtOnce = 1_000;

/** Acknowledgements that share a round trip. */
interface Batch {
  readonly ids: string[];
  readonly sent: Promise<unknown>;
}

/** Collects the acknowledgements of one turn, which then share a round trip, or a few where there are many. */
export class Acknowledgements {
  readonly #send: (ids: readonly string[]) => Promise<unknown>;
  #batch: Batch | undefined;

  constructor(send: (ids: readonly string[]) => Promise<unknown>) {
    this.#send = send;
  }

  /** Resolves when the broker has done it. */
  async add(id: string): Promise<void> {
    if (this.#batch === undefined || this.#batch.ids.length === maxIdsAtOnce) this.#batch = this.#begin();
    this.#batch.ids.push(id);
    await this.#batch.sent;
  }

  #begin(): Batch {
    const ids: string[] = [];
    const sent = new Promise((resolve, reject) => {
      setImmediate(() => {
        if (this.#batch?.ids === ids) this.#batch = undefined;
        this.#send(ids).then(resolve, reject);
      });
    });
    return { ids, sent };
  }
}
