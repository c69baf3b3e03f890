import type { DriverContext, PullDriver, PullSource, Received } from '@melange/backend-kit';
import { sendEach, toEnvelope } from '@melange/backend-kit';
import { BrokerUnavailableError } from '@melange/core';
import { createInbox, type Msg } from '@nats-io/transport-node';
import type { NatsClient } from './client.ts';
import { consumerName, queueSubject, streamOf } from './topology.ts';
import { delayed, delayHeader, fromRecord, toRecord } from './wire.ts';

/** What a subscription was given: a message, and what is needed to settle it. */
export interface NatsTaken extends Received {
  readonly raw: Msg;
  /** Subject that settles it. */
  readonly reply: string;
  /** Names the message in its queue for ever: a stream that is made again counts its places anew. */
  readonly place: string;
  /** When it may be handed over, in ms since the epoch. */
  readonly dueAt: number;
}

/**
 * Shortest wait for messages, in ms: the broker hands out what was given back only to a request that waits.
 */
const minWaitMs = 100;

/** Pulls messages of the queue's consumer, and settles each at the subject that it came with. */
export function consuming(client: NatsClient, { clock }: DriverContext): PullDriver<NatsTaken> {
  return {
    kind: 'pull',
    async open({ queue }) {
      const { config } = await client.manager.consumers.info(streamOf(queue), consumerName);
      return {
        ...settling(client, queue, (config.ack_wait ?? 0) / 1_000_000),
        async take(max, signal, maxWaitMs) {
          const came = (await pull(client, queue, max, Math.max(maxWaitMs, minWaitMs), signal)).map(
            takenFrom,
          );
          // The broker does not answer requests to a consumer that does not exist.
          if (came.length === 0) await client.manager.consumers.info(streamOf(queue), consumerName);
          const now = clock.now();
          const early = came.filter(({ dueAt }) => dueAt > now);
          await Promise.all(early.map(({ reply, dueAt }) => client.settle(reply, comeAgainIn(dueAt - now))));
          return { taken: came.filter(({ dueAt }) => dueAt <= now), isEmpty: came.length === 0 };
        },
        close() {},
      };
    },
  };
}

function settling(
  client: NatsClient,
  queue: string,
  leaseMs: number,
): Omit<PullSource<NatsTaken>, 'take' | 'close'> {
  const acknowledge = ({ reply }: NatsTaken): Promise<void> => client.settle(reply, '+ACK');
  return {
    acknowledge: (batch) => sendEach(batch, acknowledge),
    asDelivered: ({ raw }) => takenFrom(raw).message,
    async retry(taken, again) {
      // At the end of the queue: the broker hands out what it has again before anything new, and would get no further.
      const copy = toRecord(toEnvelope(takenFrom(taken.raw).message, again));
      await client.publish(queueSubject(queue), delayed(copy, again.delayMs), `retry ${taken.place}`);
      await acknowledge(taken);
    },
    async deadLetter(taken, deadLetterQueue, message) {
      const copy = toRecord(toEnvelope(message));
      await client.publish(queueSubject(deadLetterQueue), copy, `${queue} ${taken.place}`);
      await acknowledge(taken);
    },
    async release(batch) {
      await Promise.all(batch.map(({ reply }) => client.settle(reply, comeAgainIn(0))));
    },
    leases: {
      leaseMs,
      async renew(batch) {
        await Promise.all(batch.map(({ reply }) => client.settle(reply, '+WPI')));
        return [];
      },
    },
  };
}

function comeAgainIn(delayMs: number): string {
  return `-NAK ${JSON.stringify({ delay: Math.ceil(delayMs * 1_000_000) })}`;
}

/** What came before the end of the request, or of the connection. The end of `signal` ends the wait: what is on its way still comes. */
async function pull(
  { connection, settings }: NatsClient,
  queue: string,
  batch: number,
  maxWaitMs: number,
  signal: AbortSignal,
): Promise<readonly Msg[]> {
  const messages: Msg[] = [];
  let trouble: string | undefined;
  const callback = (_error: unknown, message: Msg): void => {
    const { code = 0, description = '' } = message.headers ?? {};
    if (code === 0) messages.push(message);
    // There was nothing, or there is nothing more.
    else if (code !== 404 && code !== 408) trouble = `${code} ${description}`;
    if (code > 0 || messages.length >= batch) subscription.unsubscribe();
  };
  const reply = createInbox(settings.client.inboxPrefix);
  const subscription = connection.subscribe(reply, { callback });
  const request = { batch, no_wait: true, expires: maxWaitMs * 1_000_000 };
  const subject = `$JS.API.CONSUMER.MSG.NEXT.${streamOf(queue)}.${consumerName}`;
  connection.publish(subject, JSON.stringify(request), { reply });
  const stop = (): void => void subscription.drain().catch(() => undefined);
  signal.addEventListener('abort', stop);
  const timer = setTimeout(stop, maxWaitMs + 2_000);
  await subscription.closed;
  clearTimeout(timer);
  signal.removeEventListener('abort', stop);
  if (trouble !== undefined && messages.length === 0)
    throw new BrokerUnavailableError(`The broker ended a request for messages of "${queue}": ${trouble}.`);
  return messages;
}

function takenFrom(raw: Msg): NatsTaken {
  const { reply = '', data, headers } = raw;
  // $JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<…>.<nanoseconds>.<…>, or with <domain>.<account> after ACK.
  const tokens = reply.split('.');
  const [count, sequence, , nanoseconds] = tokens.slice(tokens.length === 9 ? 4 : 6);
  const [again, storedAt] = [Number(count) - 1, Number(nanoseconds) / 1_000_000];
  const place = `${sequence}-${nanoseconds}`;
  const delayMs = Number(headers?.get(delayHeader) || 0);
  // One that is delayed was handed out before it was due, and then when it was, by the clock of another machine.
  const redeliveries = delayMs > 0 ? Math.max(0, again - 1) : again;
  const dueAt = delayMs > 0 ? storedAt + delayMs - (again > 0 ? 1_000 : 0) : 0;
  const entries = [...(headers ?? [])].map(([name, values]) => [name, values[0] ?? ''] as const);
  const received = fromRecord(data, entries, headers?.get('Nats-Msg-Id') || place, redeliveries);
  return { ...received, raw, reply, place, dueAt };
}
