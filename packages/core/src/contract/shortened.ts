/** Longest text from outside that an error message takes in, in characters. */
const longest = 200;

/** Names and reasons come from content and schemas: error messages end in logs and headers, which have bounds. */
export function shortened(text: string): string {
  return text.length <= longest ? text : `${text.slice(0, longest)}…`;
}
