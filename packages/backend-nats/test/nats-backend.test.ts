import { randomUUID } from 'node:crypto';
import { canStartHere, startNats } from '@melange/brokers';
import { type Delivery, type Message, MessageTooLargeError, silentLogger } from '@melange/core';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, headers } from '@nats-io/transport-node';
import { afterAll, describe, expect, it } from 'vitest';
import { NatsBackend } from '../src/index.ts';

const { NATS_URL: url = '' } = process.env;
const opened: { close(): Promise<unknown> }[] = [];
afterAll(() => Promise.all(opened.map((one) => one.close())));

function backendAt(address: string): NatsBackend {
  const backend = new NatsBackend({ url: address, logger: silentLogger });
  opened.push(backend);
  return backend;
}

function messageOf(fields: Partial<Message>): Message {
  const absent = { manifest: undefined, serializerId: undefined, key: undefined, publishedAt: undefined };
  return { id: randomUUID(), content: '{}', headers: {}, ...absent, ...fields };
}

/** Everything that is in a queue now, acknowledged. */
async function drained(backend: NatsBackend, queue: string): Promise<Delivery[]> {
  const deliveries: Delivery[] = [];
  const subscription = await backend.subscribe(queue, { maxInFlight: 10, untilEmpty: true }, (delivery) => {
    deliveries.push(delivery);
    void delivery.acknowledge();
  });
  await subscription.ended;
  await subscription.close();
  return deliveries;
}

/** A connection of another client. */
async function otherClient(address: string) {
  const connection = await connect({ servers: address });
  opened.push(connection);
  return { stream: jetstream(connection), manager: await jetstreamManager(connection) };
}

describe.skipIf(url === '')('NATS (skipped without NATS_URL)', () => {
  const backend = backendAt(url || 'nats://127.0.0.1');
  const newQueue = async (options: { readonly deadLetterQueue?: string } = {}): Promise<string> => {
    const queue = `nats-test-${randomUUID()}`;
    await backend.declareQueue(queue, options);
    return queue;
  };

  it('stores what is published again on purpose, as from a dead-letter queue, at once', async () => {
    const queue = await newQueue();
    const message = messageOf({});
    await backend.publishToQueue(queue, [message]);
    expect(await drained(backend, queue)).toHaveLength(1);
    await backend.publishToQueue(queue, [message]);
    expect((await drained(backend, queue)).map((delivery) => delivery.message.id)).toEqual([message.id]);
  });

  it('reads what another client sends, by the id that it gave or by its place', async () => {
    const queue = await newQueue();
    const { stream } = await otherClient(url);
    const own = headers();
    own.set('traceparent', '00-1-2-01');
    own.set('Nats-Expected-Stream', `melange-${queue}`);
    await stream.publish(`melange.queue.${queue}`, '{"a":1}', { headers: own });
    await stream.publish(`melange.queue.${queue}`, 'plain', { msgID: 'theirs' });
    const [first, second] = await drained(backend, queue);
    expect(first?.message).toMatchObject({ content: '{"a":1}', headers: { traceparent: '00-1-2-01' } });
    expect(first?.message.headers).toEqual({ traceparent: '00-1-2-01' });
    expect(first?.message.id).toMatch(/^1-\d{19}$/);
    expect(second?.message.id).toBe('theirs');
  });

  it('puts a retried message behind those that wait, and dead-letters what the broker delivered', async () => {
    const deadLetterQueue = await newQueue();
    const queue = await newQueue({ deadLetterQueue });
    const order: string[] = [];
    await backend.publishToQueue(queue, [
      messageOf({ content: 'first', headers: { kept: 'k', odd: ' padded ' } }),
      messageOf({ content: 'second' }),
    ]);
    const done = new Promise<void>((resolve) => {
      void backend.subscribe(queue, { maxInFlight: 1 }, async (delivery) => {
        order.push(`${delivery.message.content} ${delivery.attempt}`);
        if (delivery.message.content === 'second') await delivery.acknowledge();
        else if (delivery.attempt === 1) await delivery.retry();
        else {
          (delivery.message.headers as Record<string, string>).kept = 'changed by the handler';
          await delivery.deadLetter({ reason: 'test' }).then(resolve);
        }
      });
    });
    await done;
    expect(order).toEqual(['first 1', 'second 1', 'first 2']);
    const [dead] = await drained(backend, deadLetterQueue);
    expect(dead?.message).toMatchObject({ content: 'first', headers: { kept: 'k', odd: ' padded ' } });
  });

  it('refuses content that the server would not take, and takes what follows', async () => {
    const queue = await newQueue();
    const large = messageOf({ content: new Uint8Array(1_000_001) });
    const [refused, taken] = await Promise.allSettled([
      backend.publishToQueue(queue, [large]),
      backend.publishToQueue(queue, [messageOf({ content: new Uint8Array(1_000_000) })]),
    ]);
    expect(refused).toMatchObject({ reason: { failures: [{ error: expect.any(MessageTooLargeError) }] } });
    expect(taken.status).toBe('fulfilled');
  });

  it('keeps the lease of a queue that exists, and what its operator has set', async () => {
    const queue = await newQueue();
    const { manager } = await otherClient(url);
    await manager.streams.update(`melange-${queue}`, { max_msgs: 1_000_000 });
    const other = new NatsBackend({ url, leaseMs: 1_000, logger: silentLogger });
    opened.push(other);
    await other.declareQueue(queue);
    expect((await manager.streams.info(`melange-${queue}`)).config.max_msgs).toBe(1_000_000);
    const { config } = await manager.consumers.info(`melange-${queue}`, 'melange');
    expect(config.ack_wait).toBe(30_000_000_000);
  });

  it('tells its address without credentials', () => {
    expect(backendAt('nats://user:secret@127.0.0.1:4222').address).toBe('127.0.0.1:4222');
    const several = new NatsBackend({ url: ['nats://user:secret@a:1', 'nats://b:2'] });
    expect(several.address).toBe('a:1,b:2');
    expect(() => backendAt('localhost')).toThrow(expect.objectContaining({ code: 'CONFIGURATION' }));
  });
});

describe.skipIf(!canStartHere('nats'))('a NATS of its own (skipped where none can be started)', () => {
  it('publishes to a topic whose queue was deleted by another process: the others get it', async () => {
    const own = await startNats();
    const backend = backendAt(own.url);
    try {
      const topic = 'events';
      for (const queue of ['one', 'two']) await backend.declareQueue(queue, { topics: [topic] });
      const { manager } = await otherClient(own.url);
      // Without its bindings: as between the two steps of deleting a queue.
      await manager.streams.delete('melange-one');
      await backend.publishToTopic(topic, [messageOf({})]);
      expect(await drained(backend, 'two')).toHaveLength(1);
    } finally {
      await backend.close();
      await own.stop();
    }
  });
});
