/** Content types of bytes and of text that say no more of themselves. */
export const binaryType = 'application/octet-stream';
export const textType = 'text/plain; charset=utf-8';
/** Content encoding of text, as other clients have it too. */
export const textEncoding = 'utf-8';
/** Content encoding of bytes whose type does not say that they are. */
export const binaryEncoding = 'binary';

/** Headers that the broker writes when it redelivers or dead-letters; any other header is its sender's. */
const brokerHeaders: ReadonlySet<string> = new Set([
  'x-death',
  'x-first-death-exchange',
  'x-first-death-queue',
  'x-first-death-reason',
  'x-last-death-exchange',
  'x-last-death-queue',
  'x-last-death-reason',
  'x-delivery-count',
  'x-acquired-count',
]);

/** Whether the broker writes a header of this name by itself. */
export function isBrokerHeader(name: string): boolean {
  return name.startsWith('x-') && brokerHeaders.has(name);
}

/**
 * By these the broker sends a message to further queues, and of another type than a list it closes the channel for
 * them: they travel under names of ours.
 */
const routingHeaders: readonly string[] = ['CC', 'BCC'];
const ourPrefix = 'melange_header_';

/** The name that a header has on the wire. */
export function wireName(name: string): string {
  return routingHeaders.includes(name) ? ourPrefix + name : name;
}

/** The name that a header had before it was sent. */
export function ownName(name: string): string {
  if (!name.startsWith(ourPrefix)) return name;
  const own = name.slice(ourPrefix.length);
  return routingHeaders.includes(own) ? own : name;
}

/**
 * Whether content is text, if it is UTF-8 at all. The content encoding decides, where there is one: `utf-8` is text,
 * anything else is bytes. Without it all types are text but those of bytes.
 */
export function isTextual(contentType: string | undefined, contentEncoding: string | undefined): boolean {
  if (contentEncoding !== undefined && contentEncoding !== '' && !/^identity$/i.test(contentEncoding)) {
    return /^(utf-?8|us-ascii|ascii)$/i.test(contentEncoding);
  }
  return contentType === undefined || !isBinaryType(contentType);
}

/** Whether content of this type is never text. */
export function isBinaryType(contentType: string): boolean {
  return /^\s*application\/(octet-stream|(x-|vnd\.google\.)?protobuf)\s*(;|$)/i.test(contentType);
}
