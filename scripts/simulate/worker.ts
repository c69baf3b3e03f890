import { parentPort, workerData } from 'node:worker_threads';
import { planOf, runPlan } from '@melange/conformance/simulation';

/** Which seeds a worker runs. */
export interface SeedRange {
  readonly from: number;
  readonly count: number;
  /** Runs each so manieth seed. */
  readonly step: number;
}

/** What a worker tells: how far it is, and the seeds that broke an invariant. */
export interface Progress {
  readonly done: number;
  readonly events: number;
  readonly messages: number;
  readonly faults: readonly (readonly [fault: string, count: number])[];
  readonly broken: readonly { readonly seed: number; readonly invariants: readonly string[] }[];
  readonly isOver: boolean;
}

/** Tells after so many seeds. */
const tellEvery = 50;

// The place of an error costs more than the error, and nobody reads it here.
Error.stackTraceLimit = 0;
const { from, count, step } = workerData as SeedRange;
let progress = nothing();
for (let seed = from; seed < from + count; seed += step) {
  const { plan, events, faults, violations } = await runPlan(planOf(seed));
  progress.done += 1;
  progress.events += events;
  progress.messages += plan.messages.length;
  for (const [fault, times] of faults) progress.faults.set(fault, (progress.faults.get(fault) ?? 0) + times);
  if (violations.length > 0)
    progress.broken.push({ seed, invariants: [...new Set(violations.map(({ invariant }) => invariant))] });
  if (progress.done < tellEvery && violations.length === 0) continue;
  parentPort?.postMessage({ ...progress, faults: [...progress.faults], isOver: false });
  progress = nothing();
}
parentPort?.postMessage({ ...progress, faults: [...progress.faults], isOver: true });

function nothing() {
  return {
    done: 0,
    events: 0,
    messages: 0,
    faults: new Map<string, number>(),
    broken: [] as { seed: number; invariants: string[] }[],
  };
}
