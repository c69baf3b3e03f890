/** Maximal length of a text from outside within an error message, in characters. */
const maxCharacters = 200;

/** Shortens text that comes from messages and schemas: error messages end up in logs and headers, whose size is bounded. */
export function shortened(text: string): string {
  return text.length <= maxCharacters ? text : `${text.slice(0, maxCharacters)}…`;
}
