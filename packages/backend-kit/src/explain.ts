import { MelangeError } from '@melange/core';
import type { Fault } from './driver.ts';

/**
 * What an error means: Melange's own errors speak for themselves, the driver explains the others. A driver that throws
 * while it explains counts as a refusal: a fault of our own must not be taken for an outage and repeated for ever.
 */
export function explainWith(explain: (error: unknown) => Fault, error: unknown): Fault {
  if (MelangeError.is(error)) {
    switch (error.code) {
      case 'BROKER_UNAVAILABLE':
        return { kind: 'unavailable', reason: error.message };
      case 'QUEUE_NOT_FOUND':
      case 'TOPIC_NOT_FOUND':
        return { kind: 'missing' };
      default:
        return { kind: 'refused', error };
    }
  }
  try {
    return explain(error);
  } catch (cause) {
    const text = `The adapter failed to explain an error: ${reasonOf(cause)}.`;
    return { kind: 'refused', error: new MelangeError('PUBLISH_FAILED', text, { cause: error }) };
  }
}

/** The answer of a client library, or nothing where `explain` says that what it was asked for does not exist. */
export async function unlessMissing<Answer>(
  explain: (error: unknown) => Fault,
  answer: Promise<Answer>,
): Promise<Answer | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (explainWith(explain, error).kind !== 'missing') throw error;
    return undefined;
  }
}

/** The words of an error, for a log line or a detail. Never throws. */
export function reasonOf(error: unknown): string {
  try {
    return error instanceof Error ? String(error.message || error.name) : String(error);
  } catch {
    return 'an error without words';
  }
}
