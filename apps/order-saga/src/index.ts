export { type RunOptions, readArguments, UsageError } from './arguments.ts';
export { Ledger, type LedgerSummary } from './ledger.ts';
export { runSystem } from './system.ts';
