import type { Message } from '@melange/core';
import type { ContentView } from './api.ts';

/** Longest text that is sent to the page, in characters. */
const maxCharacters = 100_000;
/** Longest JSON that is parsed to be printed in lines, in characters. */
const maxParsed = 1_000_000;
const maxBytesShown = 4_096;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** What a person can read of a content: JSON in lines, else text, else bytes in hexadecimal. Never throws. */
export function contentView({ content }: Message): ContentView {
  if (content === null) return { form: 'none', text: '', bytes: 0, isCut: false };
  if (typeof content === 'string') return textView(content, Buffer.byteLength(content));
  const text = textOf(content);
  if (text !== undefined) return textView(text, content.byteLength);
  const shown = Buffer.from(content.subarray(0, maxBytesShown)).toString('hex');
  return {
    form: 'bytes',
    text: shown
      .replace(/(..)/g, '$1 ')
      .replace(/(.{48})/g, '$1\n')
      .trimEnd(),
    bytes: content.byteLength,
    isCut: content.byteLength > maxBytesShown,
  };
}

function textView(text: string, bytes: number): ContentView {
  const printed = printedJson(text);
  const shown = printed ?? text;
  return {
    form: printed === undefined ? 'text' : 'json',
    text: shown.slice(0, maxCharacters),
    bytes,
    isCut: shown.length > maxCharacters,
  };
}

/** Digits beyond 2^53 would be rounded by parsing: such JSON stays as it is. */
function printedJson(text: string): string | undefined {
  if (text.length > maxParsed || !/^\s*[[{"\d-]|^\s*(?:true|false|null)\b/.test(text)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (/\d{16,}|\d[.\d]*e[+-]?\d/i.test(text)) return text;
    return JSON.stringify(value, undefined, 2);
  } catch {
    // No JSON, or nested too deep to be printed.
    return undefined;
  }
}

function textOf(content: Uint8Array): string | undefined {
  try {
    return utf8.decode(content);
  } catch {
    return undefined;
  }
}
