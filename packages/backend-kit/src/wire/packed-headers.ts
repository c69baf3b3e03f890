import type { Envelope } from './envelope.ts';

/** JSON object of the headers that a broker cannot carry as its own. */
const packedHeader = 'melange_headers';

/**
 * Headers for a broker that does not carry every name and value: the others travel together, packed in the header `melange_headers`.
 *
 * @param isPlain whether the broker, and its client library, carry the header unchanged.
 */
export function packHeaders(
  headers: Envelope['headers'],
  isPlain: (name: string, value: string) => boolean,
): Envelope['headers'] {
  const isCarried = ([name, value]: readonly [string, string]): boolean =>
    name !== packedHeader && isPlain(name, value);
  const packed = headers.filter((header) => !isCarried(header));
  if (packed.length === 0) return headers;
  const json = JSON.stringify(Object.fromEntries(packed));
  return [...headers.filter(isCarried), [packedHeader, json]];
}

/** The headers as they were before `packHeaders`. Never throws: what another client wrote there is a header like any other. */
export function unpackHeaders(
  headers: Iterable<readonly [name: string, value: string]>,
): Envelope['headers'] {
  return [...headers].flatMap((header) => (header[0] === packedHeader ? unpacked(header) : [header]));
}

function unpacked(header: readonly [string, string]): Envelope['headers'] {
  try {
    const entries: [string, unknown][] = Object.entries(JSON.parse(header[1]));
    if (entries.every((entry): entry is [string, string] => typeof entry[1] === 'string')) return entries;
  } catch {
    // No JSON, or null.
  }
  return [header];
}
