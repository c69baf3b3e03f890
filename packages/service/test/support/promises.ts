/** What holds a handler until it is told to finish. */
export function gate(): { readonly passed: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open: () => open() };
}

/** Resolves with what was pushed once there are `count` of them. */
export class Collected<Item> {
  readonly items: Item[] = [];
  readonly #waiting: { readonly count: number; readonly resolve: (items: Item[]) => void }[] = [];

  readonly push = (item: Item): void => {
    this.items.push(item);
    for (const { count, resolve } of this.#waiting) if (this.items.length >= count) resolve(this.items);
  };

  reach(count: number): Promise<Item[]> {
    if (this.items.length >= count) return Promise.resolve(this.items);
    return new Promise((resolve) => this.#waiting.push({ count, resolve }));
  }
}
