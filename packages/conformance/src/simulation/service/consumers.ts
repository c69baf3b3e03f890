import type { Plan } from '../plan/plan.ts';

/** Attempts in all, when a handler fails. */
export const maxAttempts = 4;

/** Names of the consumers that a version of the service has. */
export function consumersOf({ consumers }: Plan, version: number): string[] {
  return Array.from({ length: consumers + version - 1 }, (_, index) => `consumer-${index + 1}`);
}
