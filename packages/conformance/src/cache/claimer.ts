import type { Claim, ClaimToken, DeduplicationCache, MaybePromise } from '@melange/core';

/** What the suite asks of a claimer's process. */
export type ClaimerRequest =
  | { readonly ask: 'open'; readonly ttlMs: number; readonly clockSkewMs: number }
  | { readonly ask: 'race'; readonly key: string; readonly claimers: number; readonly leaseMs: number }
  | { readonly ask: 'claim'; readonly key: string; readonly leaseMs: number }
  | { readonly ask: 'extend'; readonly token: ClaimToken; readonly leaseMs: number }
  | { readonly ask: 'confirm'; readonly token: ClaimToken }
  | { readonly ask: 'release'; readonly token: ClaimToken };

/** The answer to the request of that number. */
export interface ClaimerReply {
  /** Number of the request. */
  readonly number: number;
  /** What the cache answered. */
  readonly answer?: unknown;
  /** What the cache threw instead, as text. */
  readonly error?: string;
}

/**
 * What a process of `CacheUnderTest.startProcess` does: makes a cache on the store under test when it is asked to,
 * and works with it as the suite says, until the suite ends. Its clock may be wrong by an hour.
 */
export function serveClaimer(
  create: (settings: { readonly ttlMs: number }) => MaybePromise<DeduplicationCache>,
): void {
  let cache: DeduplicationCache | undefined;
  process.on('message', async (request: ClaimerRequest & { readonly number: number }) => {
    const { number } = request;
    try {
      if (request.ask === 'open') {
        setClock(request.clockSkewMs);
        cache = await create({ ttlMs: request.ttlMs });
      }
      const answer = cache === undefined ? undefined : await answerOf(cache, request);
      process.send?.({ number, answer } satisfies ClaimerReply);
    } catch (error) {
      process.send?.({ number, error: String(error) } satisfies ClaimerReply);
    }
  });
  // Also when the suite was killed: the cache's connections would keep the process alive.
  process.once('disconnect', () => process.exit());
}

async function answerOf(cache: DeduplicationCache, request: ClaimerRequest): Promise<unknown> {
  switch (request.ask) {
    case 'open':
      return undefined;
    case 'race': {
      const { key, leaseMs } = request;
      const claims = await Promise.all(
        Array.from({ length: request.claimers }, async (): Promise<Claim> => cache.claim(key, { leaseMs })),
      );
      return claims.filter(({ status }) => status === 'claimed').length;
    }
    case 'claim':
      return cache.claim(request.key, { leaseMs: request.leaseMs });
    case 'extend':
      return cache.extend(request.token, { leaseMs: request.leaseMs });
    case 'confirm':
      return cache.confirm(request.token);
    case 'release':
      return cache.release(request.token);
  }
}

function setClock(skewMs: number): void {
  const rightNow = Date.now;
  Date.now = () => rightNow() + skewMs;
}
