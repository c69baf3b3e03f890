export type { NetworkFault } from './broker/network.ts';
export type { TimelineEntry, Violation } from './check/ledger.ts';
export type { HandlerBehaviour, Plan, PlannedFault, PlannedMessage } from './plan/plan.ts';
export { planOf } from './plan/plan-of.ts';
export { type RunResult, runPlan } from './run.ts';
export { shrink } from './shrink.ts';
export { timelineText } from './timeline.ts';
