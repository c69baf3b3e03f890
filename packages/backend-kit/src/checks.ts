import { MelangeError, type Message, MessageTooLargeError, type SubscribeOptions } from '@melange/core';

/** Which names a broker takes. */
export interface NameRules {
  /** Longest name that the broker takes, in bytes of UTF-8. */
  readonly maxBytes: number;
  /** Matches a name whose every character the broker takes. Default: every character is taken. */
  readonly allowed?: RegExp;
  /** Longest suffix that the adapter adds to the name (a delay queue, a retry topic), counted in the length of a name that is declared or subscribed to. Default: none. */
  readonly longestSuffix?: string;
}

/**
 * Refuses a name before the broker is touched: a queue that is made by half is worse than none.
 *
 * @param kind what is named, for the error: `queue`, `topic`.
 * @throws MelangeError `CONFIGURATION` for a name that is empty, too long once suffixed, or has a character that the broker refuses.
 */
export function checkName(kind: string, name: string, rules: NameRules): void {
  if (typeof name !== 'string' || name === '') {
    throw new MelangeError('CONFIGURATION', `The name of a ${kind} must not be empty.`);
  }
  const { maxBytes, allowed, longestSuffix = '' } = rules;
  if (allowed !== undefined && !allowed.test(name)) {
    throw new MelangeError(
      'CONFIGURATION',
      `The name of the ${kind} "${shown(name)}" has a character that the broker does not take: use names that match ${allowed}.`,
    );
  }
  const bytes = Buffer.byteLength(name);
  const roomBytes = maxBytes - Buffer.byteLength(longestSuffix);
  if (bytes > roomBytes) {
    throw new MelangeError(
      'CONFIGURATION',
      `The name of the ${kind} "${shown(name)}" has ${bytes} bytes: use at most ${roomBytes}.`,
    );
  }
}

/**
 * For a queue or topic that is only published to, described or deleted: the suffixes of the adapter do not count.
 *
 * @throws MelangeError `CONFIGURATION` as `checkName` does.
 */
export function checkExistingName(kind: string, name: string, rules: NameRules): void {
  checkName(kind, name, { ...rules, longestSuffix: '' });
}

/** @throws MelangeError `CONFIGURATION` unless `maxInFlight` is a whole number of at least 1. */
export function checkSubscribeOptions({ maxInFlight }: SubscribeOptions): void {
  if (Number.isSafeInteger(maxInFlight) && maxInFlight >= 1) return;
  throw new MelangeError(
    'CONFIGURATION',
    `maxInFlight must be a whole number of at least 1, not ${String(maxInFlight)}.`,
  );
}

/** @throws MessageTooLargeError when the content has more bytes than the broker takes. */
export function checkContentBytes({ id, content }: Message, maxBytes: number): void {
  const bytes = content === null ? 0 : Buffer.byteLength(content);
  if (bytes <= maxBytes) return;
  throw new MessageTooLargeError(
    `The content of message ${id} has ${bytes} bytes: send at most ${maxBytes}.`,
  );
}

function shown(name: string): string {
  return name.length > 60 ? `${name.slice(0, 60)}…` : name;
}
