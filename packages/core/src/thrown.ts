/** What is known of a thrown value, whatever it is. */
export interface ThrownDescription {
  /** Name of the error; of any other value its type: `object`. */
  readonly name: string;
  /** Its message; any other value as text. */
  readonly message: string;
  /** Its causes as one line, the nearest first: `Error: connection lost < Error: ECONNRESET`. `undefined` when it has none. */
  readonly cause: string | undefined;
}

/** Bound of each text, in characters: some brokers bound the size of headers. */
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
