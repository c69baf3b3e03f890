import type { Message } from '@melange/core';
import { brief, harmless, harmlessLines } from './harmless.ts';
import { jsonOf } from './output.ts';

/** How a content was read. */
export type Content =
  /** By a serializer, or as JSON. */
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'none' };

/** Larger contents are shown as they are. */
const maxParsed = 1_000_000;
/** Characters of a content that are shown unless all are asked for. */
const maxShown = 16_384;

/** What can be made of a content. @param read reads it as a service does; throws where none can. */
export async function contentOf(
  message: Message,
  read: (message: Message) => Promise<unknown>,
): Promise<Content> {
  const { content } = message;
  if (content === null) return { kind: 'none' };
  if (content.length <= maxParsed) {
    try {
      const value = await read(message);
      // What cannot be written down again is shown as it came.
      jsonOf(value);
      return { kind: 'value', value };
    } catch {}
  }
  const text = typeof content === 'string' ? content : textOf(content);
  if (text === undefined) return { kind: 'bytes', bytes: content as Uint8Array };
  if (text.length <= maxParsed) {
    try {
      const value: unknown = JSON.parse(text);
      jsonOf(value);
      return { kind: 'value', value };
    } catch {}
  }
  return { kind: 'text', text };
}

/** The content on one line. */
export function briefContent({ content }: Message, maxLength: number): string {
  if (content === null) return '(none)';
  if (typeof content === 'string') return brief(content, maxLength);
  const text = textOf(content.subarray(0, maxLength * 4));
  return text === undefined ? `(${content.length} bytes)` : brief(text, maxLength);
}

/** The content on as many lines as it needs. @param isFull whether a long one is shown to its end. */
export function shownContent(content: Content, isFull: boolean): string {
  if (content.kind === 'none') return '(none)';
  if (content.kind === 'bytes') return hexDump(content.bytes, isFull ? content.bytes.length : 512);
  const text = content.kind === 'text' ? content.text : jsonOf(content.value, 2);
  const shown = isFull ? text : text.slice(0, maxShown);
  const rest = text.length - shown.length;
  // JSON has its line ends and no others; text may have anything.
  return `${harmlessLines(shown)}${rest > 0 ? `\n… ${rest} characters more: --full` : ''}`;
}

/** A message as data. */
export function messageData(message: Message, content: Content): Record<string, unknown> {
  const { id, manifest, serializerId, contentType, key, headers, publishedAt } = message;
  return {
    id,
    manifest,
    serializerId,
    contentType,
    key,
    headers,
    publishedAt: publishedAt === undefined ? undefined : new Date(publishedAt),
    ...(content.kind === 'value' && { content: content.value }),
    ...(content.kind === 'text' && { text: content.text }),
    ...(content.kind === 'bytes' && { base64: Buffer.from(content.bytes).toString('base64') }),
    ...(content.kind === 'none' && { content: null }),
  };
}

/** A name and its value, on one line. */
export function fact(name: string, value: string | undefined, width = 12): string {
  return `${harmless(name).padEnd(width)} ${harmless(value ?? '-')}`;
}

/** Text in UTF-8, or `undefined` where the bytes are none. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: bytes of these are no text for people
    return /[\u0000-\u0008\u000e-\u001a]/.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

function hexDump(bytes: Uint8Array, max: number): string {
  const lines: string[] = [];
  for (let start = 0; start < Math.min(bytes.length, max); start += 16) {
    const part = bytes.subarray(start, Math.min(start + 16, max));
    const hex = [...part].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = [...part]
      .map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : '.'))
      .join('');
    lines.push(`${start.toString(16).padStart(8, '0')}  ${hex.padEnd(47)}  ${text}`);
  }
  if (bytes.length > max) lines.push(`… ${bytes.length - max} bytes more: --full`);
  return lines.join('\n');
}
