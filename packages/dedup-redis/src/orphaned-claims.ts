/** More than a process has under way when a connection dies. */
const mostRemembered = 10_000;

/**
 * Claims that were sent and never answered: Redis may hold them for a whole lease though nobody has them. Each is
 * used once: by the next claim of its key here, which repeats its fence and so finds it its own, or by a release.
 * Never by both, for the release could meet the claim that is used.
 */
export class OrphanedClaims {
  readonly #fences = new Map<string, string>();

  add(key: string, fence: string): void {
    this.#fences.delete(key);
    this.#fences.set(key, fence);
    if (this.#fences.size <= mostRemembered) return;
    const oldest = this.#fences.keys().next();
    if (oldest.done !== true) this.#fences.delete(oldest.value);
  }

  /** The fence to claim the key with, if there is one. */
  take(key: string): string | undefined {
    const fence = this.#fences.get(key);
    this.#fences.delete(key);
    return fence;
  }

  /** Whether exactly this claim was still waiting to be used. */
  takeExactly(key: string, fence: string): boolean {
    return this.#fences.get(key) === fence && this.#fences.delete(key);
  }

  takeAll(): (readonly [string, string])[] {
    const all = [...this.#fences];
    this.#fences.clear();
    return all;
  }
}
