import { thrownText } from '@melange/core/adapter';

/** As JSON, whatever it is: an error as an object, a circle by its name, what cannot be read as text. Never throws. */
export function jsonText(value: object): string {
  const above: unknown[] = [];
  const replaced = function (this: unknown, _: string, part: unknown): unknown {
    // What contains this part: what was left again is no circle.
    while (above.length > 0 && above.at(-1) !== this) above.pop();
    const plain = plainOf(part);
    if (typeof plain !== 'object' || plain === null) return plain;
    if (above.includes(plain)) return '[circular]';
    above.push(plain);
    return plain;
  };
  try {
    return JSON.stringify(value, replaced);
  } catch {
    const texts = Object.entries(value).map(([name, part]) => [
      name,
      typeof part === 'number' ? part : thrownText(part),
    ]);
    return JSON.stringify(Object.fromEntries(texts));
  }
}

function plainOf(part: unknown): unknown {
  if (typeof part === 'bigint') return String(part);
  if (!(part instanceof Error)) return part;
  const { name, message, stack, cause } = part;
  const { code } = part as { readonly code?: unknown };
  return { name, message, stack, code, cause };
}
