/** Collects the acknowledgements of one turn, which then share a round trip. */
export class Acknowledgements {
  readonly #send: (ids: readonly string[]) => Promise<unknown>;
  #ids: string[] = [];
  #sent: Promise<unknown> | undefined;

  constructor(send: (ids: readonly string[]) => Promise<unknown>) {
    this.#send = send;
  }

  /** Resolves when the broker has done it. */
  async add(id: string): Promise<void> {
    this.#ids.push(id);
    this.#sent ??= new Promise((resolve, reject) => {
      setImmediate(() => {
        const ids = this.#ids;
        this.#ids = [];
        this.#sent = undefined;
        this.#send(ids).then(resolve, reject);
      });
    });
    await this.#sent;
  }
}
