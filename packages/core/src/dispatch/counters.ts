import type { DispatcherCounters } from './options.ts';
import type { Outcome } from './outcome.ts';

/** `DispatcherCounters` that can be written. */
export type Counters = { -readonly [Name in keyof DispatcherCounters]: DispatcherCounters[Name] };

export function newCounters(): Counters {
  return {
    received: 0,
    acknowledged: 0,
    retried: 0,
    deadLettered: 0,
    unhandled: 0,
    undecodable: 0,
    duplicates: 0,
  };
}

/** Counts the outcome of a message. Not called for one that was given back to the broker. */
export function countOutcome(counters: Counters, outcome: Outcome): void {
  if (outcome.kind === 'retry') counters.retried += 1;
  else if (outcome.kind === 'dead-letter') counters.deadLettered += 1;
  else counters.acknowledged += 1;
  const cause =
    outcome.kind === 'acknowledge' ? outcome.because : outcome.kind === 'dead-letter' ? outcome.reason : '';
  if (cause === 'unhandled') counters.unhandled += 1;
  if (cause === 'undecodable') counters.undecodable += 1;
}
