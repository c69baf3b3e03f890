export type { TimelineEntry, Violation } from './ledger.ts';
export type { NetworkFault } from './network.ts';
export { type HandlerBehaviour, type Plan, type PlannedFault, type PlannedMessage, planOf } from './plan.ts';
export { type RunResult, runPlan } from './run.ts';
export { shrink } from './shrink.ts';
