import { MelangeError } from '@melange/core';

const final: ReadonlySet<string> = new Set([
  'MESSAGE_TOO_LARGE',
  'MESSAGE_INVALID',
  'SERIALIZATION',
  'UNSUPPORTED',
  'CONFIGURATION',
]);

/** Default of `OutboxRelayOptions.isRefused`. */
export function isRefusedByCode(error: unknown): boolean {
  return MelangeError.is(error) && final.has(error.code);
}

/** Code of a refusal, for the table. */
export function codeOfRefusal(error: unknown): string {
  return MelangeError.is(error) ? error.code : 'UNKNOWN';
}
