import type { TimelineEntry, Violation } from './check/ledger.ts';
import { inject } from './fault-injection.ts';
import type { Plan } from './plan/plan.ts';
import { withoutIntervals } from './time/without-intervals.ts';
import { World } from './world.ts';

/** What became of a run. */
export interface RunResult {
  /** What was run. */
  readonly plan: Plan;
  /** Invariants that did not hold, in the order in which that was seen. */
  readonly violations: readonly Violation[];
  /** Virtual time when everything had come to rest. */
  readonly restedAt: number;
  /** Events that happened. */
  readonly events: number;
  /** How often each fault struck. */
  readonly faults: ReadonlyMap<string, number>;
  /** Only where it was asked for. */
  readonly timeline: readonly TimelineEntry[];
}

/** Runs a plan to its end, the same way each time. */
export async function runPlan(plan: Plan, options: { readonly tell?: boolean } = {}): Promise<RunResult> {
  const world = new World(plan, options.tell === true, inject);
  await withoutIntervals(() => world.run());
  const { violations, timeline, faults } = world.ledger;
  const { events, now } = world.progress;
  return { plan, violations, restedAt: now, events, faults, timeline };
}
