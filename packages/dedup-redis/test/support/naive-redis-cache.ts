import type { Claim, ClaimToken, DeduplicationCache, Health } from '@melange/core';
import { Redis } from 'ioredis';

/** A mistake that the cache below can make; with none of them it conforms, as far as the mutants are asked. */
export type Defect =
  | 'none'
  | 'checksThenSets'
  | 'marksBeforeProcessing'
  | 'confirmsWithoutToken'
  | 'claimsNeverExpire'
  | 'comparesClientClocks';

const compareAndRun = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1`;

/** As somebody would write it in an afternoon, with the mistake asked for. */
export class NaiveRedisCache implements DeduplicationCache {
  readonly #client: Redis;
  readonly #prefix: string;
  readonly #ttlMs: number;
  readonly #defect: Defect;
  #claims = 0;

  constructor(url: string, prefix: string, ttlMs: number, defect: Defect) {
    this.#client = new Redis(url);
    this.#prefix = prefix;
    this.#ttlMs = ttlMs;
    this.#defect = defect;
  }

  async claim(key: string, { leaseMs }: { readonly leaseMs: number }): Promise<Claim> {
    this.#claims += 1;
    const until = this.#defect === 'comparesClientClocks' ? Date.now() + leaseMs : 0;
    const fence = `claimed ${until} ${process.pid} ${this.#claims}`;
    const claimed: Claim = { status: 'claimed', token: { key, fence } };
    const name = this.#prefix + key;
    if (this.#defect === 'checksThenSets' || this.#defect === 'comparesClientClocks') {
      const found = await this.#client.get(name);
      if (found === 'done') return { status: 'done' };
      const isOver = until > 0 && Number(found?.split(' ')[1]) <= Date.now();
      if (found !== null && !isOver) return { status: 'held' };
      await this.#client.set(name, fence, 'PX', until > 0 ? this.#ttlMs : leaseMs);
      return claimed;
    }
    const isDone = this.#defect === 'marksBeforeProcessing';
    const lease = this.#defect === 'claimsNeverExpire' ? this.#ttlMs * 100 : leaseMs;
    const set = await this.#client.set(
      name,
      isDone ? 'done' : fence,
      'PX',
      isDone ? this.#ttlMs : lease,
      'NX',
    );
    if (set === 'OK') return claimed;
    return { status: (await this.#client.get(name)) === 'done' ? 'done' : 'held' };
  }

  extend(token: ClaimToken, { leaseMs }: { readonly leaseMs: number }): Promise<boolean> {
    return this.#replace(token, token.fence, leaseMs);
  }

  async confirm(token: ClaimToken): Promise<boolean> {
    if (this.#defect !== 'confirmsWithoutToken') return this.#replace(token, 'done', this.#ttlMs);
    await this.#client.set(this.#prefix + token.key, 'done', 'PX', this.#ttlMs);
    return true;
  }

  async release(token: ClaimToken): Promise<void> {
    await this.#replace(token, '', 1);
  }

  health(): Health {
    return { status: 'healthy' };
  }

  close(): void {
    this.#client.disconnect();
  }

  async #replace({ key, fence }: ClaimToken, by: string, milliseconds: number): Promise<boolean> {
    return (await this.#client.eval(compareAndRun, 1, this.#prefix + key, fence, by, milliseconds)) === 1;
  }
}
