import type { Message, MessageContent } from '@melange/core';
import type { SqsWireFormat } from '../options.ts';
import { carriableJson, isCarriable, type ReceivedAttribute } from './attributes.ts';

/** Attribute that says how the body holds the content, where that is not plain. */
export const encodingAttribute = 'melange_encoding';

/** `base64`: bytes; `base64-text`: text that SQS refuses as it is; `text`: text that would be taken for an envelope. */
export type BodyEncoding = 'base64' | 'base64-text' | 'text';

/** Number of the JSON serializer on the wire. */
const jsonSerializerId = 1;

const encodings: readonly string[] = ['base64', 'base64-text', 'text'] satisfies BodyEncoding[];

/** A body, and how it holds the content; `undefined` is plain text. */
export interface OutgoingBody {
  readonly body: string;
  readonly encoding: BodyEncoding | undefined;
}

/** A body taken out of its envelope. */
export interface ReceivedBody {
  readonly text: string;
  /** Attributes that an SNS envelope carries. */
  readonly attributes?: Record<string, ReceivedAttribute>;
  /** Id that SNS gave. */
  readonly messageId?: string;
}

/** @param mustEncode also what SQS should take: it refused the text. */
export function toBody(content: MessageContent, format: SqsWireFormat, mustEncode = false): OutgoingBody {
  if (format === 'python-melange') {
    const isText = typeof content === 'string';
    const text = isText ? content : Buffer.from(content).toString('base64');
    return { body: `{"Message": ${asciiJson(text)}}`, encoding: isText ? undefined : 'base64' };
  }
  if (typeof content !== 'string') return { body: base64(content), encoding: 'base64' };
  if (content === '' || mustEncode || !isCarriable(content))
    return { body: base64(Buffer.from(content, 'utf8')), encoding: 'base64-text' };
  return { body: content, encoding: openEnvelope(content) === undefined ? undefined : 'text' };
}

/**
 * The message with its JSON written without the characters that SNS does not take: the Python library reads the content
 * of a topic's message as it is.
 */
export function withCarriableContent(message: Message): Message {
  const { content, serializerId } = message;
  if (typeof content !== 'string' || serializerId !== jsonSerializerId || isCarriable(content))
    return message;
  return { ...message, content: carriableJson(content) };
}

/** The content of an SNS notification or of the Python library's form, and what came with it; any other body as it is. */
export function unwrap(body: string): ReceivedBody {
  return openEnvelope(body) ?? { text: body };
}

export function isKnownEncoding(encoding: string): boolean {
  return encodings.includes(encoding);
}

/** @throws nothing: an encoding that is not known is plain text. */
export function fromBody(text: string, encoding: string | undefined): MessageContent {
  if (encoding === 'base64') return Uint8Array.from(Buffer.from(text, 'base64'));
  if (encoding === 'base64-text') return Buffer.from(text, 'base64').toString('utf8');
  return text;
}

function openEnvelope(body: string): ReceivedBody | undefined {
  // Most bodies are no envelope: they are not parsed.
  if (!/^\s*\{/.test(body) || !body.includes('"Message"')) return undefined;
  const envelope = parse(body);
  if (envelope === undefined || typeof envelope.Message !== 'string') return undefined;
  const text = envelope.Message;
  if (Object.keys(envelope).length === 1) return { text };
  if (envelope.Type !== 'Notification' || typeof envelope.TopicArn !== 'string') return undefined;
  const { MessageId, MessageAttributes } = envelope;
  return {
    text,
    attributes: attributesOf(MessageAttributes),
    ...(typeof MessageId === 'string' && { messageId: MessageId }),
  };
}

function attributesOf(value: unknown): Record<string, ReceivedAttribute> {
  if (typeof value !== 'object' || value === null) return {};
  const entries = Object.entries(value as Record<string, { Type?: unknown; Value?: unknown } | null>);
  // A binary value is base64 here, which is how binary headers are read anyway.
  return Object.fromEntries(
    entries
      .filter(([, attribute]) => typeof attribute?.Value === 'string')
      .map(([name, attribute]) => [
        name,
        {
          StringValue: attribute?.Value as string,
          DataType: typeof attribute?.Type === 'string' ? attribute.Type : undefined,
        },
      ]),
  );
}

function parse(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** A body may not be empty: padding alone decodes to nothing. */
function base64(content: Uint8Array): string {
  const { buffer, byteOffset, byteLength } = content;
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64') || '=';
}

/** As Python's `json.dumps` writes it. */
function asciiJson(text: string): string {
  return JSON.stringify(text).replace(/[\u007F-\uFFFF]/g, (unit) =>
    unit === '\u007F' ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
