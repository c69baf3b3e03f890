import type { ChangeRequest } from './api.ts';

const maxIds = 100_000;

/** Reads a request to change something; text says what is wrong with it. */
export function readChange(body: unknown): ChangeRequest | string {
  if (typeof body !== 'object' || body === null) return 'The request is no JSON object.';
  const { action, ids, group, text, all, maxPerSecond, canaryFirst, canaryPatienceMs } = body as Record<
    string,
    unknown
  >;
  if (action !== 'redrive' && action !== 'discard') return '"action" must be "redrive" or "discard".';
  const ways = [ids !== undefined, group !== undefined || text !== undefined, all === true];
  if (ways.filter(Boolean).length !== 1) return 'Say which letters: "ids", or "group" and "text", or "all".';
  if (ids !== undefined && !isIds(ids)) return `"ids" must be 1 to ${maxIds} texts.`;
  for (const [name, value] of Object.entries({ group, text })) {
    if (value !== undefined && (typeof value !== 'string' || value === ''))
      return `"${name}" must be a text.`;
  }
  if (maxPerSecond !== undefined && !(isNumber(maxPerSecond) && maxPerSecond > 0))
    return '"maxPerSecond" must be a number above 0.';
  if (
    canaryFirst !== undefined &&
    !(isNumber(canaryFirst) && Number.isSafeInteger(canaryFirst) && canaryFirst > 0)
  )
    return '"canaryFirst" must be a whole number above 0.';
  if (canaryPatienceMs !== undefined && !(isNumber(canaryPatienceMs) && canaryPatienceMs >= 0))
    return '"canaryPatienceMs" must be a number of at least 0.';
  return body as ChangeRequest;
}

function isIds(value: unknown): boolean {
  const isText = (id: unknown): boolean => typeof id === 'string' && id !== '';
  return Array.isArray(value) && value.length > 0 && value.length <= maxIds && value.every(isText);
}

function isNumber(value: unknown): value is number {
  return Number.isFinite(value);
}
