import {
  type DriverContext,
  type PullDriver,
  type Received,
  sendEach,
  toEnvelope,
} from '@melange/backend-kit';
import { BrokerUnavailableError } from '@melange/core';
import { createInbox, type Msg } from '@nats-io/transport-node';
import type { NatsClient } from './client.ts';
import { consumerName, queueSubject, streamOf } from './topology.ts';
import { delayed, delayHeader, fromRecord, toRecord } from './wire.ts';

/** What a subscription was given: a message, and what is needed to settle it. */
export interface NatsTaken extends Received {
  /** Subject that settles it. */
  readonly reply: string;
  /** Names the message in its queue for ever: a stream that is deleted and made again counts its places anew. */
  readonly place: string;
  /** When it may be handed over, in ms since the epoch. */
  readonly dueAt: number;
}

/** Pulls messages of the queue's consumer, and settles each at the subject that it came with. */
export function consuming(client: NatsClient, { clock }: DriverContext): PullDriver<NatsTaken> {
  const acknowledge = ({ reply }: NatsTaken): Promise<void> => client.settle(reply, '+ACK');
  const giveBack = ({ reply }: NatsTaken, delayMs: number): Promise<void> =>
    client.settle(reply, `-NAK ${JSON.stringify({ delay: Math.ceil(delayMs * 1_000_000) })}`);
  return {
    kind: 'pull',
    async open({ queue }) {
      const { config } = await client.manager.consumers.info(streamOf(queue), consumerName);
      return {
        async take(max, signal, maxWaitMs) {
          const came = (await pull(client, queue, max, maxWaitMs, signal)).map(takenFrom);
          // The broker does not answer requests to a consumer that does not exist.
          if (came.length === 0) await client.manager.consumers.info(streamOf(queue), consumerName);
          const now = clock.now();
          const early = came.filter(({ dueAt }) => dueAt > now);
          await Promise.all(early.map((taken) => giveBack(taken, taken.dueAt - now)));
          return { taken: came.filter(({ dueAt }) => dueAt <= now), isEmpty: came.length === 0 };
        },
        acknowledge: (batch) => sendEach(batch, acknowledge),
        async retry(taken, again) {
          // At the end of the queue: the broker hands out what it has again before anything new, and would get no further.
          const copy = delayed(toRecord(toEnvelope(taken.message, again)), again.delayMs);
          await client.publish(queueSubject(queue), copy, `retry ${taken.place}`);
          await acknowledge(taken);
        },
        async deadLetter(taken, deadLetterQueue, message) {
          const copy = toRecord(toEnvelope(message));
          await client.publish(queueSubject(deadLetterQueue), copy, `${queue} ${taken.place}`);
          await acknowledge(taken);
        },
        async release(batch) {
          await Promise.all(batch.map((taken) => giveBack(taken, 0)));
        },
        leases: {
          leaseMs: (config.ack_wait ?? 0) / 1_000_000,
          async renew(batch) {
            await Promise.all(batch.map(({ reply }) => client.settle(reply, '+WPI')));
            return [];
          },
        },
        close() {},
      };
    },
  };
}

/** What came before the end of the request, or of the connection. The end of `signal` ends the wait: what is on its way still comes. */
async function pull(
  client: NatsClient,
  queue: string,
  max: number,
  waitMs: number,
  signal: AbortSignal,
): Promise<readonly Msg[]> {
  const messages: Msg[] = [];
  let trouble: string | undefined;
  const callback = (_error: unknown, message: Msg): void => {
    const { code = 0, description = '' } = message.headers ?? {};
    if (code === 0) messages.push(message);
    // There was nothing, or there is nothing more.
    else if (code !== 404 && code !== 408) trouble = `${code} ${description}`;
    if (code > 0 || messages.length >= max) subscription.unsubscribe();
  };
  const reply = createInbox(client.settings.client.inboxPrefix);
  const subscription = client.connection.subscribe(reply, { callback });
  const request = { batch: max, no_wait: true, ...(waitMs > 0 && { expires: waitMs * 1_000_000 }) };
  const subject = `$JS.API.CONSUMER.MSG.NEXT.${streamOf(queue)}.${consumerName}`;
  client.connection.publish(subject, JSON.stringify(request), { reply });
  const stop = (): void => void subscription.drain().catch(() => undefined);
  signal.addEventListener('abort', stop);
  const timer = setTimeout(stop, waitMs + 2_000);
  await subscription.closed;
  clearTimeout(timer);
  signal.removeEventListener('abort', stop);
  if (trouble !== undefined && messages.length === 0)
    throw new BrokerUnavailableError(`The broker ended a request for messages of "${queue}": ${trouble}.`);
  return messages;
}

function takenFrom({ reply = '', data, headers }: Msg): NatsTaken {
  // $JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<…>.<nanoseconds>.<…>, or with <domain>.<account> after ACK.
  const tokens = reply.split('.');
  const [deliveries, sequence, , storedAt] = tokens.slice(tokens.length === 9 ? 4 : 6);
  const place = `${sequence}-${storedAt}`;
  const delayMs = Number(headers?.get(delayHeader) || 0);
  // One that is delayed was handed out once before it was due.
  const redeliveries = Math.max(0, Number(deliveries) - 1 - (delayMs > 0 ? 1 : 0));
  const entries = [...(headers ?? [])].map(([name, values]) => [name, values[0] ?? ''] as const);
  const received = fromRecord(data, entries, headers?.get('Nats-Msg-Id') || place, redeliveries);
  return { ...received, reply, place, dueAt: Number(storedAt) / 1_000_000 + delayMs };
}
