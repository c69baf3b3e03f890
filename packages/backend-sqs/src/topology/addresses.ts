/** Where queues or topics are, by name. What is looked up at the moment is looked up once. */
export class Addresses {
  readonly #find: (name: string) => Promise<string>;
  readonly #known = new Map<string, string>();
  readonly #finding = new Map<string, Promise<string>>();

  constructor(find: (name: string) => Promise<string>) {
    this.#find = find;
  }

  /** Without asking. */
  known(name: string): string | undefined {
    return this.#known.get(name);
  }

  /** Asks where it is not known. */
  async of(name: string): Promise<string> {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const asked = this.#finding.get(name);
    if (asked !== undefined) return asked;
    const found = this.#find(name);
    this.#finding.set(name, found);
    try {
      const address = await found;
      if (this.#finding.get(name) === found) this.#known.set(name, address);
      return address;
    } finally {
      if (this.#finding.get(name) === found) this.#finding.delete(name);
    }
  }

  learn(name: string, address: string): void {
    this.#finding.delete(name);
    this.#known.set(name, address);
  }

  /** It turned out to be gone. */
  forget(name: string): void {
    this.#finding.delete(name);
    this.#known.delete(name);
  }
}
