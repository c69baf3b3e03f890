import { wireNumber } from '@melange/core/adapter';

/** Longer texts are seldom the same again. */
const longestKnown = 24;
const mostKnown = 4_096;
/** A text in each place: another one of the same place takes it. */
const known: string[] = new Array(mostKnown).fill('');

const replacement = '\uFFFD';
const strictly = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** UTF-8. Short texts, such as names of headers and keys, are made once and found again after that. */
export function textAt(bytes: Buffer, start: number, end: number): string {
  const length = end - start;
  if (length > longestKnown) return bytes.toString('utf8', start, end);
  if (length === 0) return '';
  // Keys differ at their ends.
  const last =
    ((bytes[end - 1] as number) << 4) ^ ((bytes[end - 2] as number) << 8) ^ (bytes[end - 3] as number);
  const place = (last ^ length ^ ((bytes[start] as number) << 2)) & (mostKnown - 1);
  const found = known[place] as string;
  if (found.length === length && isAt(found, bytes, start)) return found;
  const text = bytes.toString('utf8', start, end);
  known[place] = text;
  return text;
}

/** As `textAt`; `undefined` when the bytes are no UTF-8. */
export function strictTextAt(bytes: Buffer, start: number, end: number): string | undefined {
  const text = textAt(bytes, start, end);
  // What is no UTF-8 becomes this character, which may have been written, too.
  if (!text.includes(replacement)) return text;
  try {
    return strictly.decode(bytes.subarray(start, end));
  } catch {
    return undefined;
  }
}

/** Decimal, as it was written by `String`; `undefined` when it is no number. */
export function numberAt(bytes: Buffer, start: number, end: number): number | undefined {
  // More digits may not be exact one by one.
  if (end === start || end - start > 15) return wireNumber(bytes.toString('utf8', start, end));
  let number = 0;
  for (let at = start; at < end; at += 1) {
    const digit = (bytes[at] as number) - 48;
    if (digit < 0 || digit > 9) return wireNumber(bytes.toString('utf8', start, end));
    number = number * 10 + digit;
  }
  return number;
}

/** Whether an ASCII text is there; any other is not found. */
export function isAt(text: string, bytes: Buffer, start: number): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code !== bytes[start + index] || code > 0x7f) return false;
  }
  return true;
}
