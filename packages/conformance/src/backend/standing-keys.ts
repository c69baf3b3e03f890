import assert from 'node:assert/strict';
import { type Consumer, MessageDispatcher, SerializerRegistry, silentLogger } from '@melange/core';
import { behaviours, eventually } from '../behaviour.ts';
import { type BackendBehaviour, type BackendContext, message } from './backend-context.ts';
import { ascending, range, running } from './dispatcher-running.ts';
import { testSerializer } from './test-serializer.ts';

/** Tries again for ever, soon. */
const retry = { maxAttempts: Number.POSITIVE_INFINITY, longestDelayMs: 300, delayMs: () => 300 };

/** With order by key, a key in trouble holds up its own messages only. */
export const standingKeys: readonly BackendBehaviour[] = behaviours<BackendContext>('keys in trouble', [
  {
    id: 'failing-key',
    title:
      '40 messages of a key that fails hold up no other key, and are processed in their order when it recovers',
    timeoutMs: 90_000,
    run: (context) => recovers(context, 40),
  },
  {
    id: 'failing-key-with-many',
    title:
      '1,000 messages of a key that fails hold up no other key, and are processed in their order when it recovers',
    timeoutMs: 240_000,
    run: (context) => recovers(context, 1_000),
  },
  {
    id: 'many-failing-keys',
    title: '60 keys that fail at once hold up no other key',
    timeoutMs: 90_000,
    async run(context) {
      const queue = await context.queue();
      const done: number[] = [];
      const keys = range(120).map((index) => message(JSON.stringify(index), { key: `key-${index}` }));
      await context.backend.publishToQueue(queue, keys);
      const failing: Consumer = {
        name: 'failing',
        accepts: () => true,
        process(value) {
          if (Number(value) < 60) throw new Error('not yet');
          done.push(Number(value));
        },
      };
      const options = { ordering: 'key', concurrency: 10, retry } as const;
      await running(context, queue, options, [failing], async () => {
        await context.eventually('the others were processed', () => done.length >= 60);
      });
      assert.deepEqual(
        done.toSorted(ascending),
        range(60).map((index) => index + 60),
      );
    },
  },
]);

async function recovers(context: BackendContext, inTrouble: number): Promise<void> {
  const queue = await context.queue();
  const own: number[] = [];
  const others: number[] = [];
  let isBroken = true;
  const consumer: Consumer = {
    name: 'one',
    accepts: () => true,
    process(value, { key }) {
      if (key !== 'in-trouble') others.push(Number(value));
      else if (isBroken) throw new Error('not yet');
      else own.push(Number(value));
    },
  };
  const sent = range(inTrouble + 100).map((index) =>
    message(JSON.stringify(index), { key: index < inTrouble ? 'in-trouble' : `key-${index}` }),
  );
  await context.backend.publishToQueue(queue, sent);
  const dispatcher = new MessageDispatcher({
    backend: context.backend,
    serializers: new SerializerRegistry({ serializers: { json: testSerializer }, default: 'json' }),
    logger: silentLogger,
    ordering: 'key',
    concurrency: 10,
    retry,
  });
  dispatcher.attachConsumer(consumer);
  const loop = dispatcher.consumeLoop(queue, { deadlineMs: 5_000 });
  loop.catch(() => {});
  try {
    await context.eventually(
      `the 100 others were processed (${inTrouble} of the key in trouble before them)`,
      () => others.length >= 100,
    );
    assert.deepEqual(own, [], 'the key is still in trouble');
    const [health] = (await dispatcher.health()).loops;
    assert.equal(health?.standing?.key, 'in-trouble', 'health tells of the key');
    isBroken = false;
    await eventually(
      `the ${inTrouble} of the key were processed`,
      () => own.length >= inTrouble,
      Math.max(context.patienceMs * 2, inTrouble * 150),
    );
    if (context.capabilities.ordered) assert.deepEqual(own, range(inTrouble));
    else assert.deepEqual(own.toSorted(ascending), range(inTrouble));
    assert.deepEqual(
      others.toSorted(ascending),
      range(100).map((index) => index + inTrouble),
    );
  } finally {
    await dispatcher.close({ deadlineMs: 5_000 });
    await context.soon(loop, 'stopping the loop');
  }
  await context.isEmpty(queue);
}
