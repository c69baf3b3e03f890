import { Worker } from 'node:worker_threads';
import type { Progress, SeedRange } from './worker.ts';

/** What became of many seeds. */
export interface SeedsResult {
  done: number;
  events: number;
  messages: number;
  readonly faults: Map<string, number>;
  readonly broken: Progress['broken'][number][];
  seconds: number;
}

/** Runs seeds in several workers, until all are done, or one has broken an invariant where that is enough. */
export async function runSeeds(
  file: string,
  { from, count, workers, onlyFirst }: { from: number; count: number; workers: number; onlyFirst: boolean },
): Promise<SeedsResult> {
  const began = performance.now();
  const result: SeedsResult = { done: 0, events: 0, messages: 0, faults: new Map(), broken: [], seconds: 0 };
  const all: Worker[] = [];
  const stop = (): void => {
    for (const worker of all) void worker.terminate();
  };
  await Promise.all(
    Array.from({ length: workers }, (_, number) => {
      const range: SeedRange = { from: from + number, count: count - number, step: workers };
      const worker = new Worker(file, {
        workerData: range,
        resourceLimits: { maxYoungGenerationSizeMb: 64 },
      });
      all.push(worker);
      return new Promise<void>((resolve, reject) => {
        worker.on('message', (progress: Progress) => {
          add(result, progress);
          if (progress.isOver) void worker.terminate();
          if (onlyFirst && progress.broken.length > 0) stop();
        });
        worker.on('error', reject);
        worker.on('exit', () => resolve());
      });
    }),
  );
  result.broken.sort((one, other) => one.seed - other.seed);
  result.seconds = (performance.now() - began) / 1_000;
  return result;
}

function add(result: SeedsResult, { done, events, messages, faults, broken }: Progress): void {
  result.done += done;
  result.events += events;
  result.messages += messages;
  result.broken.push(...broken);
  for (const [fault, count] of faults) result.faults.set(fault, (result.faults.get(fault) ?? 0) + count);
}
