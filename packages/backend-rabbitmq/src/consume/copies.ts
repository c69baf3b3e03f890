import type { Again, Destination, DriverContext } from '@melange/backend-kit';
import { DeadLetterHeader, MelangeError, type Message } from '@melange/core';
import { deadLetterExchange } from '../topology/names.ts';
import { isTextual } from '../wire/names.ts';
import { type CopyOf, droppedHeader, type OutgoingMessage, toAmqp } from '../wire/outgoing-message.ts';
import type { Received } from '../wire/received-message.ts';

/** Bytes that the headers of another client may have in a copy which was too large with all of them. */
const roomForForeign = [60_000, 4_000, 0];

/** Makes the copies by which messages of a queue are retried and dead-lettered. */
export class Copies {
  readonly #queue: string;
  readonly #context: DriverContext;

  constructor(queue: string, context: DriverContext) {
    this.#queue = queue;
    this.#context = context;
  }

  /** Resolves when the copy is confirmed in the queue, or where it waits for its delay. */
  async retry(received: Received, { attempt, redeliveries, delayMs }: Again): Promise<void> {
    const { message, foreign } = received.original();
    const copy: CopyOf = { failedBefore: attempt - 1, foreign, ...(redeliveries > 0 && { redeliveries }) };
    await this.#send({ kind: 'queue', name: this.#queue }, message, copy, delayMs);
  }

  /** Resolves when the copy is confirmed in the dead-letter queue. */
  async deadLetter(received: Received, copy: Message): Promise<void> {
    const { foreign } = received.original();
    const encoding = foreign?.properties.decoded.contentEncoding;
    const destination: Destination = { kind: 'topic', name: deadLetterExchange(this.#queue) };
    await this.#send(destination, withCompression(copy, encoding), { foreign, isMandatory: true }, 0);
  }

  async #send(destination: Destination, message: Message, copy: CopyOf, delayMs: number): Promise<void> {
    const rooms = copy.foreign === undefined ? [] : [...roomForForeign];
    for (let longestHeaders: number | undefined; ; longestHeaders = rooms.shift()) {
      try {
        const room = longestHeaders === undefined ? copy : { ...copy, longestHeaders };
        const outgoing = toAmqp(message, room);
        await this.#context.publish(destination, outgoing.id, outgoing, delayMs);
        this.#warnOfDropped(outgoing);
        return;
      } catch (error) {
        if (!MelangeError.is(error, 'MESSAGE_TOO_LARGE') || rooms.length === 0) throw error;
      }
    }
  }

  #warnOfDropped({ id: messageId, headers }: OutgoingMessage): void {
    const place = headers.indexOf(droppedHeader);
    if (place < 0) return;
    const facts = { queue: this.#queue, messageId, dropped: headers[place + 1] };
    this.#context.logger.warn('a copy of a message could not take along all of it', facts);
  }
}

/** An error about bytes that nobody can read says that they are compressed, if they are. */
function withCompression(copy: Message, encoding: string | undefined): Message {
  const text = copy.headers[DeadLetterHeader.errorMessage];
  if (encoding === undefined || text === undefined || isTextual(undefined, encoding)) return copy;
  if (encoding === '' || encoding.toLowerCase() === 'binary') return copy;
  const said = `${text} (The content encoding of the message is "${encoding}": its sender compressed or encoded it.)`;
  return { ...copy, headers: { ...copy.headers, [DeadLetterHeader.errorMessage]: said } };
}
