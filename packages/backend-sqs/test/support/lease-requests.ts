import { Batcher, type EntryFailure } from '../../src/client/batcher.ts';
import type { LeaseRequests, VisibilityChange } from '../../src/consume/lease.ts';

/** A change, and when it was sent. */
export interface Sent extends VisibilityChange {
  readonly at: number;
}

export interface Recorded extends LeaseRequests {
  readonly sent: Sent[];
  readonly warnings: string[];
}

/** Requests that are kept and answered as told. No emulator holds a message for twelve hours while a test waits. */
export function requests(
  visibilityTimeoutSeconds: number,
  failuresOf: (change: VisibilityChange) => EntryFailure[] = () => [],
): Recorded {
  const sent: Sent[] = [];
  const warnings: string[] = [];
  const common = {
    isTransient: () => true,
    isEntryAtFault: () => false,
    timeoutError: () => new Error('late'),
    sizeOf: () => 0,
    maxBytes: 1,
    lingerMs: 1,
    requestTimeoutMs: 1_000,
    maxRequests: 1,
  };
  return {
    sent,
    warnings,
    visibilityTimeoutSeconds,
    warn: (_, reason) => void warnings.push(reason),
    deletes: new Batcher<string>({ ...common, send: async () => [] }),
    visibilities: new Batcher<VisibilityChange>({
      ...common,
      send: async (changes) => {
        sent.push(...changes.map((change) => ({ ...change, at: performance.now() })));
        return changes.flatMap(failuresOf);
      },
    }),
  };
}
