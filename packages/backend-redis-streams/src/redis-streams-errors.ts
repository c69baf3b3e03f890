import { MelangeError, QueueNotFoundError, TopicNotFoundError } from '@melange/core';

/** The word that an answer of Redis begins with: `OOM`. Redis 6 puts the place in the script before it. */
export function redisErrorCode({ message }: Error): string {
  return /^(?:ERR .*@user_script.*: -)?([A-Z]+)\b/.exec(message)?.[1] ?? '';
}

/** The error that the answer of a script means; others as they are. @param name of the queue or topic. */
export function translated(error: unknown, name: string): unknown {
  if (MelangeError.is(error) || !(error instanceof Error)) return error;
  switch (redisErrorCode(error)) {
    case 'NOQUEUE':
      return new QueueNotFoundError(name);
    case 'NOTOPIC':
      return new TopicNotFoundError(name);
    case 'OOM': {
      const text = 'Redis is at its maxmemory: consume, raise it, and keep maxmemory-policy at noeviction.';
      return new MelangeError('QUEUE_FULL', text, { cause: error });
    }
    case 'MOVED':
    case 'ASK': {
      const text =
        'This Redis is a node of a Cluster, which is not supported: use a single Redis, or one behind Sentinels.';
      return new MelangeError('CONFIGURATION', text, { cause: error });
    }
    default:
      return new MelangeError('PUBLISH_FAILED', `Redis refused: ${error.message}`, { cause: error });
  }
}
