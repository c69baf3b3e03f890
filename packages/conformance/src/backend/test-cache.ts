import {
  type Claim,
  type ClaimToken,
  type DeduplicationCache,
  type Health,
  MelangeError,
} from '@melange/core';

/** Remembers for ever, in this process: enough for the suite's own runs, so that the kit depends on the core alone. */
export class TestCache implements DeduplicationCache {
  readonly #states = new Map<string, { readonly fence: string; readonly until: number }>();
  #fences = 0;

  claim(key: string, { leaseMs }: { readonly leaseMs: number }): Claim {
    const state = this.#states.get(key);
    if (state?.until === Number.POSITIVE_INFINITY) return { status: 'done' };
    if (state !== undefined && state.until > performance.now()) return { status: 'held' };
    this.#fences += 1;
    const token = { key, fence: String(this.#fences) };
    this.#states.set(key, { fence: token.fence, until: performance.now() + leaseMs });
    return { status: 'claimed', token };
  }

  extend(token: ClaimToken, { leaseMs }: { readonly leaseMs: number }): boolean {
    return this.#change(token, performance.now() + leaseMs);
  }

  confirm(token: ClaimToken): boolean {
    return this.#change(token, Number.POSITIVE_INFINITY);
  }

  release(token: ClaimToken): void {
    if (this.#owns(token)) this.#states.delete(token.key);
  }

  health(): Health {
    return { status: 'healthy' };
  }

  close(): void {}

  #change(token: ClaimToken, until: number): boolean {
    if (!this.#owns(token)) return false;
    this.#states.set(token.key, { fence: token.fence, until });
    return true;
  }

  #owns(token: ClaimToken): boolean {
    const state = this.#states.get(token.key);
    return state?.fence === token.fence && state.until !== Number.POSITIVE_INFINITY;
  }
}

/** Fails whenever it is asked, as an unreachable store does. */
export class UnreachableCache extends TestCache {
  override claim(): Claim {
    throw new MelangeError('CACHE_UNAVAILABLE', 'unreachable on purpose');
  }
}
