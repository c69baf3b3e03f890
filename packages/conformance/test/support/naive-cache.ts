import type { Claim, ClaimToken, DeduplicationCache, Health } from '@melange/core';

/** Mistakes that the cache below can make, alone or together; with none of them it conforms. */
export interface CacheDefects {
  readonly marksBeforeProcessing?: boolean;
  readonly checksThenSets?: boolean;
  readonly confirmsWithoutToken?: boolean;
  readonly releasesWithoutToken?: boolean;
  readonly extendsWithoutToken?: boolean;
  readonly claimsNeverExpire?: boolean;
  readonly doneNeverExpires?: boolean;
  readonly doneExpiresWithTheLease?: boolean;
  readonly releaseUndoesDone?: boolean;
  readonly oneFenceForAll?: boolean;
  /** So many entries at most, making room by forgetting the oldest, whatever it is. */
  readonly forgetsTheOldestOf?: number;
}

interface Entry {
  readonly fence: string;
  readonly isDone: boolean;
  readonly until: number;
}

/** A cache on a map, with the mistakes asked for. */
export class NaiveCache implements DeduplicationCache {
  readonly #entries = new Map<string, Entry>();
  readonly #defects: CacheDefects;
  readonly #now: () => number;
  readonly #ttlMs: number;
  #fences = 0;

  constructor(settings: { readonly ttlMs: number; readonly now: () => number }, defects: CacheDefects) {
    this.#defects = defects;
    this.#now = settings.now;
    this.#ttlMs = settings.ttlMs;
  }

  async claim(key: string, { leaseMs }: { readonly leaseMs: number }): Promise<Claim> {
    const entry = this.#live(key);
    if (this.#defects.checksThenSets === true) await Promise.resolve();
    if (entry !== undefined) return { status: entry.isDone ? 'done' : 'held' };
    this.#fences += 1;
    const fence = this.#defects.oneFenceForAll === true ? 'fence' : String(this.#fences);
    const [oldest] = this.#entries.keys();
    const most = this.#defects.forgetsTheOldestOf ?? Number.POSITIVE_INFINITY;
    if (oldest !== undefined && this.#entries.size >= most) this.#entries.delete(oldest);
    const isDone = this.#defects.marksBeforeProcessing === true;
    const lease = this.#defects.claimsNeverExpire === true ? Number.POSITIVE_INFINITY : leaseMs;
    this.#entries.set(key, { fence, isDone, until: this.#now() + (isDone ? this.#ttlMs : lease) });
    return { status: 'claimed', token: { key, fence } };
  }

  extend(token: ClaimToken, { leaseMs }: { readonly leaseMs: number }): boolean {
    const entry = this.#owned(token, this.#defects.extendsWithoutToken);
    if (entry === undefined) return false;
    this.#entries.set(token.key, { ...entry, until: this.#now() + leaseMs });
    return true;
  }

  confirm(token: ClaimToken): boolean {
    const entry = this.#owned(token, this.#defects.confirmsWithoutToken);
    if (entry === undefined) return false;
    const until = this.#defects.doneExpiresWithTheLease === true ? entry.until : this.#now() + this.#ttlMs;
    const never = this.#defects.doneNeverExpires === true;
    this.#entries.set(token.key, { ...entry, isDone: true, until: never ? Number.POSITIVE_INFINITY : until });
    return true;
  }

  release(token: ClaimToken): void {
    const undoes = this.#defects.releaseUndoesDone === true && this.#live(token.key)?.isDone === true;
    const owned = this.#owned(token, this.#defects.releasesWithoutToken);
    if (undoes || owned !== undefined) this.#entries.delete(token.key);
  }

  health(): Health {
    return { status: 'healthy' };
  }

  close(): void {}

  #live(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    return entry !== undefined && entry.until > this.#now() ? entry : undefined;
  }

  #owned(token: ClaimToken, whoever = false): Entry | undefined {
    const entry = this.#live(token.key);
    return entry !== undefined && !entry.isDone && (whoever || entry.fence === token.fence)
      ? entry
      : undefined;
  }
}
