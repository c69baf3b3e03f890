import { RedisStreamsBackend } from '@melange/backend-redis-streams';
import { QueuePublisher } from '@melange/core';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { serializersOfOrders } from '../melange.ts';
import { OrderPlaced } from '../order.ts';
import type { Stage } from '../table.ts';
import { fill, settled } from './fill.ts';

/** A queue as one kind of contestant has it. */
interface Kept {
  make(queue: string): Promise<void>;
  add(queue: string, orders: readonly OrderPlaced[]): Promise<void>;
  /** Messages that are published and not acknowledged. */
  left(queue: string): Promise<number>;
  remove(queue: string): Promise<void>;
}

const publishedAtOnce = 1_000;
const group = 'orders';

/**
 * A queue for each contender: Melange's own where the contestant's file is Melange's, BullMQ's where it is BullMQ's, for
 * anybody else a stream and a consumer group.
 *
 * @param isFilled whether the messages are there before the run. Default: it is the contestant that publishes.
 */
export async function redisStreamsStage(address: string, isFilled = false): Promise<Stage> {
  const redis = new Redis(address);
  const backend = new RedisStreamsBackend({ url: address });
  const kinds: Readonly<Record<string, Kept>> = {
    melange: ofMelange(backend),
    bullmq: ofBullMq(address),
  };
  const stream = ofStream(redis);
  const keptBy = ({ file }: { readonly file: string }): Kept => kinds[file.split('-').at(-1) ?? ''] ?? stream;
  return {
    async before(contender, { queue, warmUp, messages }) {
      const { make, add } = keptBy(contender);
      await make(queue);
      if (!isFilled) return;
      await fill(warmUp + messages, publishedAtOnce, (indexes) =>
        add(
          queue,
          indexes.map((index) => new OrderPlaced(index)),
        ),
      );
    },
    async after(contender, { queue, warmUp, messages }) {
      const { left, remove } = keptBy(contender);
      const expected = isFilled ? 0 : warmUp + messages;
      const count = await settled(
        () => left(queue),
        (answer) => answer === expected,
      );
      if (count !== expected)
        throw new Error(`${contender.name}: ${count} messages in the queue at the end, not ${expected}`);
      await remove(queue);
    },
    async close() {
      await backend.close();
      await redis.quit();
    },
  };
}

function ofMelange(backend: RedisStreamsBackend): Kept {
  const publisher = new QueuePublisher({ backend, serializers: serializersOfOrders() });
  return {
    make: (queue) => backend.declareQueue(queue),
    add: async (queue, orders) =>
      void (await publisher.publishBatch(
        queue,
        orders.map((value) => ({ value })),
      )),
    async left(queue) {
      const { depth, inFlight = 0 } = await backend.describeQueue(queue);
      return depth + inFlight;
    },
    remove: (queue) => backend.deleteQueue(queue),
  };
}

function ofBullMq(address: string): Kept {
  const withQueue = async <Answer>(
    name: string,
    work: (queue: Queue) => Promise<Answer>,
  ): Promise<Answer> => {
    const queue = new Queue(name, { connection: { url: address } });
    try {
      return await work(queue);
    } finally {
      await queue.close();
    }
  };
  return {
    make: async () => undefined,
    add: (name, orders) =>
      withQueue(name, async (queue) => {
        await queue.addBulk(orders.map((data) => ({ name: 'OrderPlaced', data })));
      }),
    left: (name) => withQueue(name, (queue) => queue.getJobCountByTypes('wait', 'active')),
    remove: (name) => withQueue(name, (queue) => queue.obliterate({ force: true })),
  };
}

function ofStream(redis: Redis): Kept {
  return {
    make: async (queue) => void (await redis.xgroup('CREATE', queue, group, '0', 'MKSTREAM')),
    async add(queue, orders) {
      const pipeline = redis.pipeline();
      for (const order of orders) pipeline.xadd(queue, '*', 'order', JSON.stringify(order));
      await pipeline.exec();
    },
    /** Entries that no consumer has read yet, and entries that were read and not acknowledged. */
    async left(queue) {
      const [pending] = (await redis.xpending(queue, group)) as [number];
      const groups = (await redis.xinfo('GROUPS', queue)) as unknown[][];
      const lastRead = String(groups[0]?.[(groups[0]?.indexOf('last-delivered-id') ?? 0) + 1]);
      const unread = await redis.xrange(queue, `(${lastRead}`, '+');
      return pending + unread.length;
    },
    remove: async (queue) => void (await redis.del(queue)),
  };
}
