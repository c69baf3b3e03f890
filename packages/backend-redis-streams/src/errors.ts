import { MelangeError, QueueNotFoundError, TopicNotFoundError } from '@melange/core';

/** The word that an answer of Redis begins with: `OOM`. Redis 6 puts the place in the script before it. */
export function redisErrorCode({ message }: Error): string {
  return /^(?:ERR .*@user_script.*: -)?([A-Z]+)\b/.exec(message)?.[1] ?? '';
}

/** Whether it is an answer of Redis, not a lost connection. */
export function isReply(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError';
}

const faults = [TypeError, RangeError, ReferenceError, SyntaxError, EvalError, URIError] as const;

/** Whether it is a mistake in the program, which repeating cannot mend: taken for an outage, it would be repeated for ever. */
export function isOwnFault(error: unknown): boolean {
  return faults.some((fault) => error instanceof fault);
}

/** The error that the answer of a script means; others as they are. @param name of the queue or topic. */
export function translated(error: unknown, name: string): unknown {
  if (MelangeError.is(error) || !(error instanceof Error) || isOwnFault(error)) return error;
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
