export type { Canary } from './canary.ts';
export {
  DeadLetters,
  type DeadLettersOptions,
  type ListOptions,
  type ListResult,
  type LookOptions,
  type LookResult,
} from './dead-letters.ts';
export type { DeadLetterFilter } from './filter.ts';
export { fingerprintOf, masked } from './fingerprint.ts';
export { type DeadLetter, redrivenHeader } from './letter.ts';
export type { RedriveFailure, RedriveOptions, RedriveProgress, RedriveResult } from './redrive.ts';
export type { DeadLetterGroup, Summary } from './summary.ts';
