/** Where queues or topics are, by name. What is being looked up is looked up once. */
export class Addresses {
  readonly #find: (name: string) => Promise<string>;
  readonly #found = new Map<string, Promise<string>>();

  constructor(find: (name: string) => Promise<string>) {
    this.#find = find;
  }

  /** Asks where it is not known. */
  of(name: string): Promise<string> {
    const known = this.#found.get(name);
    if (known !== undefined) return known;
    const found = this.#find(name);
    this.#found.set(name, found);
    found.catch(() => {
      if (this.#found.get(name) === found) this.#found.delete(name);
    });
    return found;
  }

  learn(name: string, address: string): void {
    this.#found.set(name, Promise.resolve(address));
  }

  /** It turned out to be gone. */
  forget(name: string): void {
    this.#found.delete(name);
  }
}
