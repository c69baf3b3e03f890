import { MelangeError, type Message, type MessageContent } from '@melange/core';

/** One message in a line of JSON: every field as it is, bytes as base64. */
interface Line {
  readonly id: string;
  readonly text?: string;
  readonly base64?: string;
  readonly manifest?: string | undefined;
  readonly serializerId?: number | undefined;
  readonly contentType?: string | undefined;
  readonly key?: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly publishedAt?: number | undefined;
}

/** The message as one line of NDJSON, without the line's end: byte-exact, to be read by `messageOf`. */
export function lineOf(message: Message): string {
  const { content, ...rest } = message;
  const line: Line = {
    ...rest,
    ...(typeof content === 'string' && { text: content }),
    ...(content instanceof Uint8Array && { base64: Buffer.from(content).toString('base64') }),
  };
  return JSON.stringify(line);
}

/**
 * The message of a line.
 *
 * @throws MelangeError `MESSAGE_INVALID` saying which line, and what is wrong with it.
 */
export function messageOf(line: string, number: number): Message {
  const wrong = (what: string): MelangeError =>
    new MelangeError('MESSAGE_INVALID', `Line ${number} is no exported message: ${what}.`);
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new MelangeError('MESSAGE_INVALID', `Line ${number} is no exported message: it is not JSON.`, {
      cause: error,
    });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong('it is no object');
  const { id, text, base64, manifest, serializerId, contentType, key, headers, publishedAt } = value as Line;
  if (typeof id !== 'string' || id === '') throw wrong('"id" must be a text that is not empty');
  if (!isOptional(manifest, 'string')) throw wrong('"manifest" must be a text');
  if (!isOptional(serializerId, 'number')) throw wrong('"serializerId" must be a number');
  if (!isOptional(contentType, 'string')) throw wrong('"contentType" must be a text');
  if (!isOptional(key, 'string')) throw wrong('"key" must be a text');
  if (!isOptional(publishedAt, 'number')) throw wrong('"publishedAt" must be a number');
  if (
    typeof headers !== 'object' ||
    headers === null ||
    !Object.values(headers).every((header) => typeof header === 'string')
  )
    throw wrong('"headers" must be an object of texts');
  return {
    id,
    content: contentOf(text, base64, wrong),
    manifest,
    serializerId,
    ...(contentType !== undefined && { contentType }),
    key,
    headers,
    publishedAt,
  };
}

function contentOf(
  text: unknown,
  base64: unknown,
  wrong: (what: string) => MelangeError,
): MessageContent | null {
  if (text !== undefined && base64 !== undefined) throw wrong('it has "text" and "base64"');
  if (!isOptional(text, 'string')) throw wrong('"text" must be a text');
  if (text !== undefined) return text as string;
  if (base64 === undefined) return null;
  if (typeof base64 !== 'string' || !isBase64(base64)) throw wrong('"base64" must be base64');
  return new Uint8Array(Buffer.from(base64, 'base64'));
}

/** `Buffer.from` skips over what is no base64. */
function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}

function isOptional(value: unknown, type: 'string' | 'number'): boolean {
  return value === undefined || typeof value === type;
}
