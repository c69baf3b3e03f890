import { createHash } from 'node:crypto';

/** Default of every option `schema`. */
export const defaultSchema = 'melange';

/** What a message is published to, as rows name it. */
export type DestinationKind = 'queue' | 'topic';

/** Name of a destination in rows. */
export function destinationOf(kind: DestinationKind, name: string): string {
  return `${kind}:${name}`;
}

/** The kind and the name of a destination of a row. */
export function splitDestination(destination: string): {
  readonly kind: DestinationKind;
  readonly name: string;
} {
  const colon = destination.indexOf(':');
  return { kind: destination.slice(0, colon) as DestinationKind, name: destination.slice(colon + 1) };
}

/** The lane of a key: rows of one lane are published one after the other. As text, for it has 64 bits. */
export function laneOf(destination: string, key: string): string {
  const digest = createHash('sha256').update(destination).update('\0').update(key).digest();
  return digest.readBigInt64BE(0).toString();
}

/** Channel of NOTIFY. Names of channels are short. */
export function channelOf(schema: string): string {
  return `melange_outbox_${createHash('sha256').update(schema).digest('hex').slice(0, 16)}`;
}
