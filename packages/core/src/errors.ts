/** Names the kind of an error. Stable across versions: safe to branch on and to alert on. */
export type MelangeErrorCode =
  | 'BROKER_UNAVAILABLE'
  | 'CLOSED'
  | 'CONSUMER_DUPLICATE'
  | 'DELIVERY_ABORTED'
  | 'DELIVERY_SETTLED'
  | 'CACHE_UNAVAILABLE'
  | 'CLAIM_HELD'
  | 'CONFIGURATION'
  | 'CRASHED'
  | 'MESSAGE_INVALID'
  | 'MESSAGE_TOO_LARGE'
  | 'PUBLISH_FAILED'
  | 'PUBLISH_TIMEOUT'
  | 'QUEUE_FULL'
  | 'QUEUE_IN_USE'
  | 'QUEUE_NOT_FOUND'
  | 'REJECTED'
  | 'RETRY_LATER'
  | 'SERIALIZATION'
  | 'TOPIC_NOT_FOUND'
  | 'TOPOLOGY_CONFLICT'
  | 'UNSUPPORTED';

const brand = Symbol.for('melange.error');

/**
 * Base of every error that Melange raises. Recognised by a brand rather than by `instanceof`, so that
 * two installed copies of the package understand each other's errors: use `MelangeError.is(error, code)`.
 */
export class MelangeError extends Error {
  readonly code: MelangeErrorCode;

  constructor(code: MelangeErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
    Object.defineProperty(this, brand, { value: true });
  }

  /** Whether `error` is a Melange error, of the given code where one is given. */
  static is<Code extends MelangeErrorCode>(
    error: unknown,
    code?: Code,
  ): error is MelangeError & { readonly code: Code } {
    if (typeof error !== 'object' || error === null) return false;
    try {
      return brand in error && (code === undefined || (error as unknown as MelangeError).code === code);
    } catch {
      // A handler may throw a proxy whose traps throw.
      return false;
    }
  }
}

/** The queue does not exist at the broker: declare it first, or correct the name. */
export class QueueNotFoundError extends MelangeError {
  override readonly name = 'QueueNotFoundError';
  readonly queue: string;
  constructor(queue: string, options?: { cause?: unknown }) {
    super(
      'QUEUE_NOT_FOUND',
      `Queue "${queue}" does not exist. Declare it with declareQueue or initQueue.`,
      options,
    );
    this.queue = queue;
  }
}

/** The topic does not exist at the broker: declare it first, or correct the name. */
export class TopicNotFoundError extends MelangeError {
  override readonly name = 'TopicNotFoundError';
  readonly topic: string;
  constructor(topic: string, options?: { cause?: unknown }) {
    super(
      'TOPIC_NOT_FOUND',
      `Topic "${topic}" does not exist. Declare it with declareTopic or initTopic.`,
      options,
    );
    this.topic = topic;
  }
}

/** A queue or topic exists with other settings than the declared ones. Nothing was changed. */
export class TopologyConflictError extends MelangeError {
  override readonly name = 'TopologyConflictError';
  constructor(message: string, options?: { cause?: unknown }) {
    super('TOPOLOGY_CONFLICT', message, options);
  }
}

/** The message is larger than the broker takes: make it smaller, or send a reference to its content. */
export class MessageTooLargeError extends MelangeError {
  override readonly name = 'MessageTooLargeError';
  constructor(message: string, options?: { cause?: unknown }) {
    super('MESSAGE_TOO_LARGE', message, options);
  }
}

/** The broker cannot be reached, or did not answer in time. */
export class BrokerUnavailableError extends MelangeError {
  override readonly name = 'BrokerUnavailableError';
  constructor(message: string, options?: { cause?: unknown }) {
    super('BROKER_UNAVAILABLE', message, options);
  }
}

/** A message that was not published, and why. */
export interface PublishFailure {
  /** Id of the message. Publish again with the same id: a copy that did arrive is then a recognisable duplicate. */
  readonly messageId: string;
  /** Why the broker did not confirm it. */
  readonly error: unknown;
}

/** The broker did not confirm some messages of a publish: `failures` names them. All others are at the broker. */
export class PublishError extends MelangeError {
  override readonly name = 'PublishError';
  readonly failures: readonly PublishFailure[];
  constructor(destination: string, failures: readonly PublishFailure[]) {
    const first = failures[0]?.error;
    super(
      'PUBLISH_FAILED',
      `${failures.length} message(s) to "${destination}" were not confirmed: ${describeThrown(first).message}`,
      {
        cause: first,
      },
    );
    this.failures = failures;
  }
}

/** A value could not be serialized, or content not deserialized; `path` leads to the offending field where it is known. */
export class SerializationError extends MelangeError {
  override readonly name = 'SerializationError';
  /** Keys from the root of the value to the offending field; empty when the whole content is at fault. */
  readonly path: readonly PropertyKey[];
  constructor(message: string, options?: { cause?: unknown; path?: readonly PropertyKey[] }) {
    super('SERIALIZATION', message, options);
    this.path = options?.path ?? [];
  }
}

/** Why a delivery was taken away from its handler. */
export type AbortReason = 'shutdown' | 'lease-lost' | 'partition-revoked' | 'timeout' | 'connection-lost';

/** The reason of an aborted `signal`: the result of this handler no longer counts, or will come too late. */
export class DeliveryAbortedError extends MelangeError {
  override readonly name = 'DeliveryAbortedError';
  readonly reason: AbortReason;
  constructor(reason: AbortReason, message: string, options?: { cause?: unknown }) {
    super('DELIVERY_ABORTED', message, options);
    this.reason = reason;
  }
}

/** Thrown by a handler: the message will never succeed, dead-letter it now and do not retry: `new Reject('no such order')`. */
export class Reject extends MelangeError {
  override readonly name = 'Reject';
  /** @param reason for log lines and the dead-lettered copy. */
  constructor(reason: string, options?: { cause?: unknown }) {
    super('REJECTED', reason, options);
  }
}

/** Description of a thrown value of any type. */
export interface ThrownDescription {
  /** Name of the error; of any other value its type: `object`. */
  readonly name: string;
  /** Its message; any other value as text. */
  readonly message: string;
  /** Its causes as one line, the nearest first: `Error: connection lost < Error: ECONNRESET`. `undefined` when it has none. */
  readonly cause: string | undefined;
}

/** Maximal length of each text, in characters: some brokers bound the size of headers. */
const maxCharacters = 1_000;
const maxCauses = 5;
/** Characters that brokers or protocols refuse in text. */
const refusedCharacters = /(?![\t\n\r])\p{Control}|\p{Surrogate}|[\ufffe\uffff]/gu;

/**
 * Describes a thrown value in text that every broker carries as a header. Never throws, though what is thrown may be
 * anything: an error whose message is an object or a getter that throws, an object without a prototype, a revoked proxy.
 */
export function describeThrown(thrown: unknown): ThrownDescription {
  const name = property(thrown, 'name');
  const isError = isErrorLike(thrown);
  const causes: string[] = [];
  let cause = property(thrown, 'cause');
  while (cause !== undefined && cause !== null && causes.length < maxCauses) {
    causes.push(thrownText(cause));
    cause = property(cause, 'cause');
  }
  return {
    name: carried(isError && typeof name === 'string' && name !== '' ? name : typeof thrown),
    message: carried(textOf(isError ? property(thrown, 'message') : thrown)),
    cause: causes.length === 0 ? undefined : carried(causes.join(' < ')),
  };
}

/** A thrown value in one line, without its causes: `RangeError: too far`. Never throws. */
export function thrownText(thrown: unknown): string {
  if (!isErrorLike(thrown)) return carried(textOf(thrown));
  const name = property(thrown, 'name');
  const message = textOf(property(thrown, 'message'));
  return carried(typeof name === 'string' && name !== '' ? `${name}: ${message}` : message);
}

/** Also an error of another realm, or a plain object that looks like one. */
function isErrorLike(thrown: unknown): boolean {
  return property(thrown, 'message') !== undefined;
}

function property(value: unknown, name: 'name' | 'message' | 'cause'): unknown {
  if (typeof value !== 'object' && typeof value !== 'function') return undefined;
  try {
    return (value as Record<typeof name, unknown> | null)?.[name];
  } catch {
    return '(cannot be read)';
  }
}

function textOf(value: unknown): string {
  if (typeof value === 'object' && value !== null) {
    try {
      return JSON.stringify(value) ?? '(an object)';
    } catch {
      return '(an object that cannot be read)';
    }
  }
  try {
    return String(value);
  } catch {
    return `(a ${typeof value} that cannot be read)`;
  }
}

function carried(text: string): string {
  return text.slice(0, maxCharacters).replace(refusedCharacters, '\ufffd');
}
