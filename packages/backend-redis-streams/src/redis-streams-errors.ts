import { MelangeError, QueueNotFoundError, TopicNotFoundError } from '@melange/core';

/** The error that the answer of a script means; others as they are. @param name of the queue or topic. */
export function translated(error: unknown, name: string): unknown {
  if (MelangeError.is(error) || !(error instanceof Error)) return error;
  if (error.message.startsWith('NOQUEUE')) return new QueueNotFoundError(name);
  if (error.message.startsWith('NOTOPIC')) return new TopicNotFoundError(name);
  if (error.message.startsWith('OOM')) {
    const text = 'Redis is at its maxmemory: consume, raise it, and keep maxmemory-policy at noeviction.';
    return new MelangeError('QUEUE_FULL', text, { cause: error });
  }
  return new MelangeError('PUBLISH_FAILED', `Redis refused: ${error.message}`, { cause: error });
}
