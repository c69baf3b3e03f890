import { type Message, MessageTooLargeError } from '@melange/core';
import type { SqsWireFormat } from '../options.ts';
import { type OutgoingMessage, toSqs } from './message.ts';

/** A message on its way, which becomes another one when SQS refuses its characters. */
export interface Encoded {
  outgoing: OutgoingMessage;
  /** The same with its text encoded; `undefined` when it is already. */
  fallback: (() => OutgoingMessage) | undefined;
}

/**
 * @param types types of headers that are not text, by name, for a copy of what another client sent.
 * @param mustEncode encodes also text that SQS should take: it refused it.
 * @throws MelangeError `UNSUPPORTED`, MessageTooLargeError.
 */
export function encode(
  message: Message,
  format: SqsWireFormat,
  maxBytes: number,
  types?: ReadonlyMap<string, string>,
  mustEncode = false,
): Encoded {
  const outgoing = toSqs(message, format, mustEncode, types);
  if (outgoing.bytes > maxBytes)
    throw new MessageTooLargeError(
      `The message has ${outgoing.bytes} bytes with its attributes; ${maxBytes} can be sent. Binary content counts four thirds.`,
    );
  if (typeof message.content !== 'string' || format !== 'melange' || mustEncode)
    return { outgoing, fallback: undefined };
  // A copy: its owner may change it while it waits.
  const original = { ...message, headers: { ...message.headers } };
  return { outgoing, fallback: () => toSqs(original, 'melange', true, types) };
}
