import assert from 'node:assert/strict';
import { type Consumer, DeadLetterHeader, fixedDelays, Reject } from '@melange/core';
import { behaviours, pause } from '../behaviour.ts';
import { type BackendBehaviour, type BackendContext, message, needsCapability } from './backend-context.ts';
import { ascending, consumer, deferred, publishValues, range, running } from './dispatcher-running.ts';
import { TestCache, UnreachableCache } from './test-cache.ts';

/** The promises of the dispatcher, kept on this backend. */
export const dispatcher: readonly BackendBehaviour[] = behaviours<BackendContext>(
  'dispatcher on this backend',
  [
    {
      id: 'once',
      title: 'every message is processed once and acknowledged, however many at a time',
      async run(context) {
        const queue = await context.queue();
        const seen: unknown[] = [];
        await publishValues(context, queue, range(100));
        await running(
          context,
          queue,
          { concurrency: 7 },
          [consumer('one', (value) => void seen.push(value))],
          async () => {
            await context.eventually('every message was processed', () => seen.length >= 100);
          },
        );
        assert.deepEqual(seen.toSorted(ascending), range(100));
        await context.isEmpty(queue);
      },
    },
    {
      id: 'attempts-exhausted',
      title: 'a failing message is retried, then dead-lettered when its attempts are used up',
      async run(context) {
        const deadLetterQueue = context.queueName();
        const queue = await context.queue({ deadLetterQueue });
        const attempts: number[] = [];
        const failing: Consumer = {
          ...consumer('failing', () => {}),
          process(_, { attempt }) {
            attempts.push(attempt);
            throw new RangeError('always');
          },
        };
        await publishValues(context, queue, ['x']);
        await running(context, queue, { retry: fixedDelays([20, 20]) }, [failing], async () => {
          const { headers, content } = (await (await context.receive(deadLetterQueue)).next()).message;
          assert.equal(content, '"x"');
          assert.equal(headers[DeadLetterHeader.attempts], '3');
          assert.equal(headers[DeadLetterHeader.errorName], 'RangeError');
          assert.equal(headers[DeadLetterHeader.consumer], 'failing');
        });
        assert.deepEqual(attempts, [1, 2, 3]);
        await context.isEmpty(queue);
      },
    },
    {
      id: 'reject',
      title: 'a rejected message is dead-lettered at once',
      async run(context) {
        const deadLetterQueue = context.queueName();
        const queue = await context.queue({ deadLetterQueue });
        let runs = 0;
        const rejecting = consumer('rejecting', () => {
          runs += 1;
          throw new Reject('never');
        });
        await publishValues(context, queue, ['x']);
        await running(context, queue, {}, [rejecting], async () => {
          await (await context.receive(deadLetterQueue)).take(1);
        });
        assert.equal(runs, 1);
      },
    },
    {
      id: 'undecodable',
      title: 'content that cannot be decoded is dead-lettered raw, and the next message is processed',
      async run(context) {
        const deadLetterQueue = context.queueName();
        const queue = await context.queue({ deadLetterQueue });
        const seen: unknown[] = [];
        const bytes = Uint8Array.of(0xff, 0, 0x7b);
        await context.backend.publishToQueue(queue, [message(bytes), message('"y"')]);
        await running(context, queue, {}, [consumer('one', (value) => void seen.push(value))], async () => {
          const copy = (await (await context.receive(deadLetterQueue)).next()).message;
          assert.deepEqual([...(copy.content as Uint8Array)], [...bytes]);
          assert.equal(copy.headers[DeadLetterHeader.errorName], 'SerializationError');
          await context.eventually('the next one was processed', () => seen.length > 0);
        });
        assert.deepEqual(seen, ['y']);
      },
    },
    {
      id: 'half-done',
      title:
        'of two consumers only the one that failed runs again, and the message is acknowledged when both are done',
      async run(context) {
        const queue = await context.queue();
        const runs = { steady: 0, flaky: 0 };
        const steady = consumer('steady', () => {
          runs.steady += 1;
        });
        const flaky = consumer('flaky', () => {
          runs.flaky += 1;
          if (runs.flaky < 3) throw new Error('not yet');
        });
        await publishValues(context, queue, ['x']);
        const options = { cache: new TestCache(), retry: fixedDelays([10, 10, 10]) };
        await running(context, queue, options, [steady, flaky], async () => {
          await context.eventually('the flaky one succeeded', () => runs.flaky === 3);
        });
        assert.deepEqual(runs, { steady: 1, flaky: 3 });
        await context.isEmpty(queue);
      },
    },
    {
      id: 'duplicates',
      title: 'duplicates of a message, together or later, are processed once',
      async run(context) {
        const queue = await context.queue();
        const seen: unknown[] = [];
        const one = message('"x"');
        await context.backend.publishToQueue(queue, [one, one, one]);
        const options = { cache: new TestCache(), retry: fixedDelays([20, 20, 20, 20, 20]) };
        const slow = consumer('slow', async (value) => {
          seen.push(value);
          await pause(30);
        });
        const acknowledged = await running(context, queue, options, [slow], async (dispatching) => {
          await context.eventually('three were acknowledged', () => dispatching.counters.acknowledged >= 3);
          await context.backend.publishToQueue(queue, [one]);
          await context.eventually('the fourth one too', () => dispatching.counters.acknowledged >= 4);
          return dispatching.counters.acknowledged;
        });
        assert.equal(acknowledged, 4);
        assert.deepEqual(seen, ['x']);
        await context.isEmpty(queue);
      },
    },
    {
      id: 'cache-unreachable',
      title:
        'while the cache cannot be reached messages wait, unprocessed and not lost, and run as the same attempt',
      async run(context) {
        const queue = await context.queue();
        const seen: unknown[] = [];
        const counting = consumer('one', (value) => void seen.push(value));
        await publishValues(context, queue, ['x']);
        const retry = fixedDelays([20, 20, 20, 20, 20]);
        await running(
          context,
          queue,
          { cache: new UnreachableCache(), retry },
          [counting],
          async (dispatching) => {
            await context.eventually('it is in hand', () => dispatching.counters.received > 0);
            await context.eventually(
              'the dispatcher is not well',
              async () => (await dispatching.health()).status !== 'healthy',
            );
          },
        );
        assert.deepEqual(seen, []);
        await running(context, queue, { cache: new TestCache(), retry }, [counting], async () => {
          await context.eventually('it was processed', () => seen.length > 0);
        });
        assert.deepEqual(seen, ['x']);
      },
    },
    {
      id: 'ordering-by-key',
      title: "with ordering 'key' each key keeps its order though some messages fail at first",
      requires: needsCapability('ordered', 'the broker keeps no order that the dispatcher could keep'),
      async run(context) {
        const queue = await context.queue();
        const done = new Map<string, number[]>();
        const failures = new Set<number>();
        const sent = range(40).map((index) => message(JSON.stringify(index), { key: `key-${index % 4}` }));
        await context.backend.publishToQueue(queue, sent);
        const ordered: Consumer = {
          name: 'ordered',
          accepts: () => true,
          process(value, { key = '' }) {
            const index = value as number;
            if (index % 5 === 0 && !failures.has(index)) {
              failures.add(index);
              throw new Error('fails at first');
            }
            done.set(key, [...(done.get(key) ?? []), index]);
          },
        };
        const options = { ordering: 'key', retry: fixedDelays([20, 20, 20]), concurrency: 8 } as const;
        await running(context, queue, options, [ordered], async () => {
          await context.eventually(
            'every message was processed',
            () => [...done.values()].flat().length >= 40,
          );
        });
        for (const [key, order] of done) {
          assert.deepEqual(
            order,
            range(40).filter((index) => `key-${index % 4}` === key),
            `order of ${key}`,
          );
        }
      },
    },
    {
      id: 'drain',
      title: 'stopping waits for running handlers and acknowledges nothing that did not finish',
      async run(context) {
        const queue = await context.queue();
        await publishValues(context, queue, range(20));
        const started: unknown[] = [];
        const finished: unknown[] = [];
        const release = deferred();
        const slow = consumer('slow', async (value) => {
          started.push(value);
          await release.promise;
          finished.push(value);
        });
        await running(context, queue, { concurrency: 4 }, [slow], async () => {
          await context.eventually('four are running', () => started.length === 4);
          // Stopping begins when this returns; the handlers finish a little later, within the deadline.
          setTimeout(() => release.resolve(), 30);
        });
        assert.deepEqual(finished, started, 'what was started was finished');
        const left: unknown[] = [];
        await running(context, queue, {}, [consumer('slow', (value) => void left.push(value))], async () => {
          await context.eventually('the others were processed', () => left.length + finished.length >= 20);
        });
        assert.deepEqual([...finished, ...left].toSorted(ascending), range(20));
      },
    },
    {
      id: 'drain-deadline',
      title: 'a handler that outlasts the deadline is aborted, and its message comes again',
      async run(context) {
        const queue = await context.queue();
        await publishValues(context, queue, ['x']);
        let aborted = false;
        let started = false;
        const stuck: Consumer = {
          name: 'stuck',
          accepts: () => true,
          process: (_, { signal }) =>
            new Promise<void>((_resolve, reject) => {
              started = true;
              signal.addEventListener('abort', () => {
                aborted = true;
                reject(signal.reason as Error);
              });
            }),
        };
        await running(
          context,
          queue,
          {},
          [stuck],
          () => context.eventually('it is running', () => started),
          50,
        );
        assert.equal(aborted, true);
        await (await context.receive(queue)).take(1);
      },
    },
  ],
);
