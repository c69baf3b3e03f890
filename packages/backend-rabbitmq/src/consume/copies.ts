import type { Troubles } from '@melange/backend-kit';
import { DeadLetterHeader, type Logger, MelangeError, type Message } from '@melange/core';
import { deadLetterCopy } from '@melange/core/adapter';
import { deadLetterExchange } from '../topology/topology.ts';
import { isTextual } from '../wire/names.ts';
import { type CopyOf, droppedHeader, type OutgoingMessage, toAmqp } from '../wire/outgoing-message.ts';
import type { Target } from '../wire/publish-frames.ts';
import type { Original } from '../wire/received-message.ts';
import type { Copies } from './delivery.ts';

/** How the copies of a queue's messages are sent. */
export interface CopySettings {
  readonly queue: string;
  readonly logger: Logger;
  readonly troubles: Troubles;
  hasDeadLetterQueue(): Promise<boolean>;
  /** Resolves when the broker has confirmed it. */
  send(target: Target, message: OutgoingMessage): Promise<void>;
  /** Resolves when the broker has confirmed it where it waits for its delay, in ms. */
  sendLater(message: OutgoingMessage, delayMs: number): Promise<void>;
}

/** Bytes that the headers of another client may have in a copy which was too large with all of them. */
const roomForForeign = [60_000, 4_000, 0];

/** Makes the copies by which messages of a queue are retried and dead-lettered, and says in health when it cannot. */
export function copiesOf({
  queue,
  logger,
  troubles,
  hasDeadLetterQueue,
  send,
  sendLater,
}: CopySettings): Copies {
  const retrySubject = `retrying messages of queue "${queue}"`;
  const deadLetterSubject = `dead-lettering from queue "${queue}"`;
  const watched = async (subject: string, work: Promise<void>): Promise<void> => {
    try {
      await work;
    } catch (error) {
      // The backend closes: that is no trouble.
      if (!MelangeError.is(error, 'CLOSED')) troubles.begin(subject, textOf(error));
      throw error;
    }
    troubles.end(subject);
  };
  const sendWhole = async (
    message: Message,
    copy: CopyOf,
    sendIt: (outgoing: OutgoingMessage) => Promise<void>,
  ): Promise<void> => {
    const rooms = copy.foreign === undefined ? [] : [...roomForForeign];
    for (let longestHeaders: number | undefined; ; longestHeaders = rooms.shift()) {
      try {
        const outgoing = toAmqp(message, {
          ...copy,
          ...(longestHeaders !== undefined && { longestHeaders }),
        });
        await sendIt(outgoing);
        warnOfDropped(outgoing);
        return;
      } catch (error) {
        if (!MelangeError.is(error, 'MESSAGE_TOO_LARGE') || rooms.length === 0) throw error;
      }
    }
  };
  const warnOfDropped = (outgoing: OutgoingMessage): void => {
    const at = outgoing.headers.indexOf(droppedHeader);
    if (at < 0) return;
    const dropped = outgoing.headers[at + 1];
    logger.warn('a copy of a message could not take along all of it', {
      queue,
      messageId: outgoing.id,
      dropped,
    });
  };
  return {
    queue,
    hasDeadLetterQueue,
    forgetTroubles() {
      troubles.forget(retrySubject);
      troubles.forget(deadLetterSubject);
    },
    retryLater({ message, foreign }, { failedBefore, redeliveries }, delayMs) {
      const copy: CopyOf = { failedBefore, foreign, ...(redeliveries > 0 && { redeliveries }) };
      const target = { exchange: '', routingKey: queue, mandatory: true };
      const sending = sendWhole(message, copy, (outgoing) =>
        delayMs > 0 ? sendLater(outgoing, delayMs) : send(target, outgoing),
      );
      return watched(retrySubject, sending);
    },
    deadLetter(original, attempt, options) {
      const circumstances = { queue, attempts: attempt, at: Date.now() };
      const copy = withCompression(deadLetterCopy(original.message, options, circumstances), original);
      const target = { exchange: deadLetterExchange(queue), routingKey: '', mandatory: true };
      const sending = sendWhole(copy, { foreign: original.foreign }, (outgoing) => send(target, outgoing));
      return watched(deadLetterSubject, sending);
    },
  };
}

/** An error about bytes that nobody can read says that they are compressed, if they are. */
function withCompression(copy: Message, { foreign }: Original): Message {
  const encoding = foreign?.properties.decoded.contentEncoding as string | undefined;
  const text = copy.headers[DeadLetterHeader.errorMessage];
  if (encoding === undefined || text === undefined || isTextual(undefined, encoding)) return copy;
  if (encoding === '' || encoding.toLowerCase() === 'binary') return copy;
  const said = `${text} (The content encoding of the message is "${encoding}": its sender compressed or encoded it.)`;
  return { ...copy, headers: { ...copy.headers, [DeadLetterHeader.errorMessage]: said } };
}

function textOf(error: unknown): string {
  if (MelangeError.is(error, 'QUEUE_NOT_FOUND') || MelangeError.is(error, 'TOPIC_NOT_FOUND'))
    return `the queue that takes them does not exist: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}
