import type { Fault } from '@melange/backend-kit';
import { MelangeError } from '@melange/core';

/** RabbitMQ cannot take something now, and may later. */
export class Unavailable extends Error {}

/** RabbitMQ refused a message, and may take it later: a full queue, a node that stops. */
export class MessageRefused extends Unavailable {
  /** @param destination as `queue "orders"`. */
  constructor(destination: string) {
    super(
      `RabbitMQ refuses messages on their way to ${destination}: a queue that takes them is full (x-max-length or x-max-length-bytes, with x-overflow reject-publish), or is not available`,
    );
  }
}

/** Code of an AMQP error, such as 404; nothing for any other error. */
export function codeOf(error: unknown): number | undefined {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'number' ? code : undefined;
}

/** A mistake in the code, ours or of what it calls: trying again would repeat it. */
function isOwnFault(error: unknown): boolean {
  const name = error instanceof Error ? error.constructor.name : '';
  return /^(TypeError|RangeError|ReferenceError|SyntaxError|AssertionError)$/.test(name);
}

/** What an error of amqplib, or a refusal of RabbitMQ, means. */
export function explain(error: unknown): Fault {
  const reason = textOf(error);
  if (error instanceof MessageRefused) return { kind: 'unavailable', reason, code: 'QUEUE_FULL' };
  const code = codeOf(error);
  if (code === 404) return { kind: 'missing' };
  if (code === 403)
    return {
      kind: 'refused',
      error: new MelangeError('CONFIGURATION', `RabbitMQ refused: ${reason}`, { cause: error }),
    };
  if (isOwnFault(error)) {
    const text = `The adapter or amqplib failed: ${reason}`;
    return { kind: 'refused', error: new MelangeError('PUBLISH_FAILED', text, { cause: error }) };
  }
  return { kind: 'unavailable', reason };
}

/** The words of an error, without the addresses that some quote. */
export function textOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  // The broker's own words for it stay inside amqplib.
  if (text.includes('Expected ConnectionOpenOk'))
    return 'its virtual host is missing, full or not open to the user';
  return text.replace(/amqps?:\/\/\S+/g, 'amqp://…');
}
