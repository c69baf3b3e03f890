import { type Consumer, type DeduplicationCache, fixedDelays, type Message } from '@melange/core';
import { CacheOutage } from '../../src/dispatch/cache-outage.ts';
import { ClaimKeys } from '../../src/dispatch/claim-keys.ts';
import { ClaimKeeper, type DeduplicationOptions } from '../../src/dispatch/claims.ts';
import type { Outcome } from '../../src/dispatch/outcome.ts';
import { type ProcessingRules, processMessage } from '../../src/dispatch/process-message.ts';
import { Router } from '../../src/dispatch/router.ts';
import { Work } from '../../src/dispatch/work.ts';
import { ManualClock } from './manual-clock.ts';
import { RecordingDelivery } from './recording-delivery.ts';
import { serializers } from './text-serializer.ts';

export interface Setting {
  readonly message?: Partial<Message>;
  readonly attempt?: number;
  readonly redeliveries?: number;
  readonly rules?: Partial<ProcessingRules>;
  readonly cache?: DeduplicationCache;
  readonly deduplication?: DeduplicationOptions;
  readonly clock?: ManualClock;
}

export interface Observed {
  readonly outcome: Promise<Outcome>;
  readonly work: Work;
  readonly delivery: RecordingDelivery;
  readonly reports: { error: unknown; consumer: string | undefined }[];
  readonly duplicates: string[];
  /** Claims that the cache did not answer. */
  readonly unclaimed: unknown[];
  /** Beginnings and ends of outages of the cache. */
  readonly outages: ({ readonly error: unknown } | { readonly afterMs: number })[];
}

export function start(consumers: readonly Consumer[], setting: Setting = {}): Observed {
  const delivery = new RecordingDelivery(setting.message, setting.attempt, setting.redeliveries);
  const reports: Observed['reports'] = [];
  const duplicates: string[] = [];
  const unclaimed: unknown[] = [];
  const outages: Observed['outages'] = [];
  const clock = setting.clock ?? new ManualClock();
  const outage = new CacheOutage(
    clock,
    (error) => void outages.push({ error }),
    (afterMs) => void outages.push({ afterMs }),
  );
  const rules: ProcessingRules = {
    queue: 'orders',
    deadLetterQueue: 'dead',
    router: new Router(consumers),
    serializers,
    claims: setting.cache && new ClaimKeeper(setting.cache, clock, setting.deduplication ?? {}, outage),
    claimKeys: new ClaimKeys('orders'),
    retry: fixedDelays([100, 200]),
    middleware: [],
    earlyAck: false,
    alwaysAck: false,
    maxRedeliveries: 20,
    handlerTimeoutMs: undefined,
    clock,
    maxAttemptsHandedOut: Number.POSITIVE_INFINITY,
    unhandled: 'dead-letter',
    random: () => 0,
    report: (error, consumer) => reports.push({ error, consumer }),
    onUnclaimed: (error) => unclaimed.push(error),
    onDuplicate: (consumer) => duplicates.push(consumer),
    ...setting.rules,
  };
  const work = new Work(delivery);
  return { outcome: processMessage(work, rules), work, delivery, reports, duplicates, unclaimed, outages };
}

export function consumer(
  name: string,
  process: Consumer['process'],
  accepts = true,
): Consumer & { runs: number } {
  const made = {
    name,
    runs: 0,
    accepts: () => accepts,
    process(...parameters: Parameters<Consumer['process']>) {
      made.runs += 1;
      return process(...parameters);
    },
  };
  return made;
}

export const succeed = (name: string): Consumer & { runs: number } => consumer(name, () => undefined);
export const fail = (name: string, error: unknown = new Error('declined')): Consumer & { runs: number } =>
  consumer(name, () => {
    throw error;
  });
