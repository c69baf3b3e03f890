const numbers = new Intl.NumberFormat('en');
const times = new Intl.DateTimeFormat('en', {
  year: 'numeric',
  month: 'short',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hour12: false,
});

export function count(value: number | undefined): string {
  return value === undefined ? '–' : numbers.format(value);
}

export function letters(value: number): string {
  return value === 1 ? '1 letter' : `${count(value)} letters`;
}

export function time(value: number | undefined): string {
  return value === undefined ? 'time unknown' : times.format(value);
}

export function bytes(value: number): string {
  if (value < 1_000) return `${value} B`;
  return value < 1_000_000 ? `${(value / 1_000).toFixed(1)} kB` : `${(value / 1_000_000).toFixed(1)} MB`;
}

/** Control and direction characters could make a text look like another one; they are shown as their numbers. */
export function harmless(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (character) => {
    const number = character.charCodeAt(0).toString(16).padStart(4, '0');
    return `\\u${number}`;
  });
}
