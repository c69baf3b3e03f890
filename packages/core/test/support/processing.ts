import { type Consumer, type DeduplicationCache, fixedDelays, type Message } from '@melange/core';
import { ClaimKeeper, type DeduplicationOptions } from '../../src/claim-keeper.ts';
import { type Outcome, type ProcessingRules, processMessage } from '../../src/process-message.ts';
import { Router } from '../../src/router.ts';
import { Work } from '../../src/work.ts';
import { ManualClock } from './manual-clock.ts';
import { RecordingDelivery } from './recording-delivery.ts';
import { serializers } from './text-serializer.ts';

export interface Setting {
  readonly message?: Partial<Message>;
  readonly attempt?: number;
  readonly rules?: Partial<ProcessingRules>;
  readonly cache?: DeduplicationCache;
  readonly deduplication?: DeduplicationOptions;
  readonly clock?: ManualClock;
}

export interface Observed {
  readonly outcome: Promise<Outcome>;
  readonly delivery: RecordingDelivery;
  readonly reports: { error: unknown; consumer: string | undefined }[];
  readonly duplicates: string[];
}

export function start(consumers: readonly Consumer[], setting: Setting = {}): Observed {
  const delivery = new RecordingDelivery(setting.message, setting.attempt);
  const reports: Observed['reports'] = [];
  const duplicates: string[] = [];
  const clock = setting.clock ?? new ManualClock();
  const rules: ProcessingRules = {
    queue: 'orders',
    hasDeadLetterQueue: true,
    router: new Router(consumers),
    serializers,
    claims:
      setting.cache &&
      new ClaimKeeper(setting.cache, clock, setting.deduplication ?? {}, (error) =>
        reports.push({ error, consumer: 'cache' }),
      ),
    retry: fixedDelays([100, 200]),
    middleware: [],
    earlyAck: false,
    alwaysAck: false,
    unhandled: 'acknowledge',
    random: () => 0,
    report: (error, consumer) => reports.push({ error, consumer }),
    onDuplicate: (consumer) => duplicates.push(consumer),
    ...setting.rules,
  };
  return { outcome: processMessage(new Work(delivery), rules), delivery, reports, duplicates };
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
