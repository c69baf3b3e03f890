import { type Envelope, fromEnvelope, packHeaders, type Received, unpackHeaders } from '@melange/backend-kit';

/** Pause in ms between the publication of a message and its delivery. */
export const delayHeader = 'melange_delay_ms';
/** Names that begin so tell the broker, or this adapter, what to do with the message. */
const reserved = /^nats-|^melange_delay_ms$/i;
const printable = /^[!-9;-~]+$/;
const lineEndOrHalfCharacter = /[\r\n\0\p{Surrogate}]/u;

/** An envelope with headers that NATS carries, and that its client library does not trim. */
export function toRecord({ body, headers }: Envelope): Envelope {
  const isPlain = (name: string, value: string): boolean =>
    printable.test(name) &&
    !reserved.test(name) &&
    !lineEndOrHalfCharacter.test(value) &&
    value === value.trim();
  return { body, headers: packHeaders(headers, isPlain) };
}

/** A record that is handed out after so many ms. */
export function delayed({ body, headers }: Envelope, delayMs: number): Envelope {
  return { body, headers: delayMs > 0 ? [...headers, [delayHeader, String(delayMs)]] : headers };
}

/** Never throws: what another client sent is taken as it is, without the headers that were for the broker. */
export function fromRecord(
  body: Uint8Array,
  headers: Envelope['headers'],
  brokerId: string,
  redeliveries: number,
): Received {
  const own = headers.filter(([name]) => !reserved.test(name));
  return fromEnvelope(body, unpackHeaders(own), brokerId, redeliveries);
}
