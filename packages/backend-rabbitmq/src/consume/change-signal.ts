/** Tells those who wait that something has changed. */
export class ChangeSignal {
  #tell: () => void = () => undefined;

  /** Something has changed. */
  notify(): void {
    this.#tell();
  }

  /** Resolves at the next change. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      const others = this.#tell;
      this.#tell = () => {
        this.#tell = () => undefined;
        others();
        resolve();
      };
    });
  }
}
