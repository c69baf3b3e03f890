/**
 * Characters that a terminal obeys, or that show text in another order than it has: contents of messages are written by anybody.
 * Line ends and tabs are among them.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
const obeyed = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** The text on one line, with each character that a terminal would obey written out. */
export function harmless(text: string): string {
  return text.replace(obeyed, writtenOut);
}

/** As `harmless`, on as many lines as the text has. */
export function harmlessLines(text: string): string {
  return text
    .split(/\r?\n/)
    .map((line) => line.split('\t').map(harmless).join('  '))
    .join('\n');
}

/** JSON text with the same meaning that a terminal does not obey. */
export function harmlessJson(json: string): string {
  // Line ends between values are the format's; inside of strings JSON has none.
  return json.replace(obeyed, (character) =>
    character === '\n' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** The text on one line, no longer than so many characters. */
export function brief(text: string, maxLength: number): string {
  // Only so much of it is looked at: it may have megabytes.
  const start = harmless(
    text
      .slice(0, maxLength + 1)
      .replace(/\s+/g, ' ')
      .trim(),
  );
  return text.length > maxLength || start.length > maxLength ? `${start.slice(0, maxLength - 1)}…` : start;
}

function writtenOut(character: string): string {
  if (character === '\n') return '\\n';
  if (character === '\r') return '\\r';
  if (character === '\t') return '\\t';
  const code = character.charCodeAt(0);
  return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
}
