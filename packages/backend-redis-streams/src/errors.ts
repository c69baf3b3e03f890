import type { Fault } from '@melange/backend-kit';
import { MelangeError } from '@melange/core';

/** Redis is starting, is busy, or is about to become a replica or a primary. */
const transient: ReadonlySet<string> = new Set([
  'LOADING',
  'BUSY',
  'TRYAGAIN',
  'MASTERDOWN',
  'READONLY',
  'CLUSTERDOWN',
]);
const ownFaults = [TypeError, RangeError, ReferenceError, SyntaxError, EvalError, URIError] as const;

/** The word that an answer of Redis begins with: `OOM`. Redis 6 puts the place in the script before it. */
export function redisErrorCode({ message }: Error): string {
  return /^(?:ERR .*@user_script.*: -)?([A-Z]+)\b/.exec(message)?.[1] ?? '';
}

/** Whether it is an answer of Redis, not a lost connection. */
export function isReply(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError';
}

/** What an error of ioredis means. */
export function explain(error: unknown): Fault {
  if (!(error instanceof Error)) return { kind: 'unavailable', reason: String(error) };
  if (ownFaults.some((fault) => error instanceof fault))
    return refused('PUBLISH_FAILED', `The adapter failed: ${error.message}`, error);
  const code = redisErrorCode(error);
  if (!isReply(error) || transient.has(code)) return { kind: 'unavailable', reason: error.message };
  switch (code) {
    case 'NOQUEUE':
    case 'NOTOPIC':
      return { kind: 'missing' };
    case 'OOM':
      return refused(
        'QUEUE_FULL',
        'Redis is at its maxmemory: consume, raise it, and keep maxmemory-policy at noeviction.',
        error,
      );
    case 'MOVED':
    case 'ASK':
      return refused(
        'CONFIGURATION',
        'This Redis is a node of a Cluster, which is not supported: use a single Redis, or one behind Sentinels.',
        error,
      );
    default:
      return refused('PUBLISH_FAILED', `Redis refused: ${error.message}`, error);
  }
}

function refused(code: MelangeError['code'], text: string, cause: Error): Fault {
  return { kind: 'refused', error: new MelangeError(code, text, { cause }) };
}
