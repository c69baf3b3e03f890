import assert from 'node:assert/strict';
import { type Consumer, DeadLetterHeader, fixedDelays, Reject, RetryLater } from '@melange/core';
import { deduplicationKey } from '@melange/core/adapter';
import { behaviours } from '../behaviour.ts';
import { type BackendBehaviour, type BackendContext, message } from './backend-context.ts';
import { consumer, publishValues, running } from './dispatcher-running.ts';
import { TestCache, UnreachableCache } from './test-cache.ts';

const nobody: Consumer = { ...consumer('nobody', () => {}), accepts: () => false };
const retry = fixedDelays([20, 20]);

/** The rows of the table of outcomes that need no fault, in its order. */
export const dispatcherOutcomes: readonly BackendBehaviour[] = behaviours<BackendContext>(
  'dispatcher on this backend',
  [
    {
      id: 'early-ack',
      title:
        'with earlyAck a message is gone before its handler runs: a failure neither brings it back nor dead-letters it',
      async run(context) {
        const deadLetterQueue = context.queueName();
        const queue = await context.queue({ deadLetterQueue });
        let runs = 0;
        const failing = consumer('failing', () => {
          runs += 1;
          throw new Reject('too late');
        });
        await publishValues(context, queue, ['x']);
        await running(context, queue, { earlyAck: true, retry }, [failing], async ({ counters }) => {
          await context.eventually('it ran', () => runs === 1 && counters.acknowledged === 1);
        });
        await context.isEmpty(queue);
        await context.isEmpty(deadLetterQueue);
        assert.equal(runs, 1);
      },
    },
    {
      id: 'no-dead-letter-queue',
      title: 'without a dead-letter queue what is undecodable or rejected is acknowledged, and reported',
      async run(context) {
        const queue = await context.queue();
        const rejecting = consumer('rejecting', () => {
          throw new Reject('never');
        });
        await context.backend.publishToQueue(queue, [message('{'), message('"x"')]);
        const logged: unknown[] = [];
        const logger = {
          debug() {},
          info() {},
          warn() {},
          error: (_: string, facts?: object) => void logged.push(facts),
        };
        await running(context, queue, { retry, logger }, [rejecting], async ({ counters }) => {
          await context.eventually('both are acknowledged', () => counters.acknowledged === 2);
        });
        const names = logged.map((facts) => (facts as { error: Error }).error.name);
        assert.deepEqual(names.toSorted(), ['Reject', 'SerializationError']);
        await context.isEmpty(queue);
      },
    },
    {
      id: 'unhandled',
      title:
        'what no consumer accepts is dead-lettered where it can be, else acknowledged and counted; dropped or retried where that is asked for',
      async run(context) {
        const deadLetterQueue = context.queueName();
        const queue = await context.queue({ deadLetterQueue });
        const bare = await context.queue();
        for (const [dropping, options] of [
          [queue, { unhandled: 'acknowledge' }],
          [bare, {}],
        ] as const) {
          await publishValues(context, dropping, ['dropped']);
          await running(context, dropping, options, [nobody], async ({ counters }) => {
            await context.eventually(
              'it is counted',
              () => counters.unhandled === 1 && counters.acknowledged === 1,
            );
          });
          await context.isEmpty(dropping);
        }
        const dead = await context.receive(deadLetterQueue);
        await publishValues(context, queue, ['kept']);
        await running(context, queue, {}, [nobody], async () => {
          const delivery = await dead.next();
          assert.equal(delivery.message.content, '"kept"');
          assert.equal(delivery.message.headers[DeadLetterHeader.reason], 'unhandled');
          await delivery.acknowledge();
        });
        await publishValues(context, queue, ['retried']);
        await running(context, queue, { unhandled: 'retry', retry }, [nobody], async () => {
          const { headers, content } = (await dead.next()).message;
          assert.equal(content, '"retried"');
          assert.equal(headers[DeadLetterHeader.attempts], '3');
        });
      },
    },
    {
      id: 'retry-later',
      title:
        'RetryLater chooses the delay and uses up no attempt, and past maxAttempts without a dead-letter queue the message is tried on and on',
      async run(context) {
        const queue = await context.queue();
        const attempts: number[] = [];
        const stubborn: Consumer = {
          ...consumer('stubborn', () => {}),
          process(_, { attempt }) {
            attempts.push(attempt);
            if (attempts.length <= 3) throw new RetryLater('later', { delayMs: 10 });
            if (attempt < 5) throw new Error('not yet');
          },
        };
        await publishValues(context, queue, ['x']);
        const policy = { maxAttempts: 2, longestDelayMs: 20, delayMs: () => 20 };
        await running(context, queue, { retry: policy }, [stubborn], async ({ counters }) => {
          await context.eventually('it succeeded', () => counters.acknowledged === 1);
        });
        assert.deepEqual(attempts, [1, 1, 1, 1, 2, 3, 4, 5]);
        await context.isEmpty(queue);
      },
    },
    {
      id: 'always-ack',
      title: 'with alwaysAck a message is acknowledged whatever its consumers did',
      async run(context) {
        const deadLetterQueue = context.queueName();
        const queue = await context.queue({ deadLetterQueue });
        const failing = consumer('failing', (value) => {
          throw value === 'x' ? new Error('declined') : new Reject('never');
        });
        await publishValues(context, queue, ['x', 'y']);
        await running(context, queue, { alwaysAck: true, retry }, [failing], async ({ counters }) => {
          await context.eventually('both are acknowledged', () => counters.acknowledged === 2);
          assert.equal(counters.retried + counters.deadLettered, 0);
        });
        await context.isEmpty(queue);
        await context.isEmpty(deadLetterQueue);
      },
    },
    {
      id: 'cache-unreachable-process',
      title: "with onUnavailable 'process' nothing waits for a cache that cannot be reached",
      async run(context) {
        const queue = await context.queue();
        const seen: unknown[] = [];
        await publishValues(context, queue, ['x']);
        const options = {
          cache: new UnreachableCache(),
          deduplication: { onUnavailable: 'process' },
          retry,
        } as const;
        await running(
          context,
          queue,
          options,
          [consumer('one', (value) => void seen.push(value))],
          async ({ counters }) => {
            await context.eventually('it is acknowledged', () => counters.acknowledged === 1);
          },
        );
        assert.deepEqual(seen, ['x']);
        await context.isEmpty(queue);
      },
    },
    {
      id: 'claim-held',
      title: 'what another worker has claimed is retried until it is done there, and uses up no attempts',
      async run(context) {
        const deadLetterQueue = context.queueName();
        const queue = await context.queue({ deadLetterQueue });
        const cache = new TestCache();
        const one = message('"x"');
        const elsewhere = cache.claim(deduplicationKey(queue, { name: 'one' }, one.id), { leaseMs: 60_000 });
        assert.equal(elsewhere.status, 'claimed');
        await context.backend.publishToQueue(queue, [one]);
        let runs = 0;
        const counting = consumer('one', () => {
          runs += 1;
        });
        await running(context, queue, { cache, retry }, [counting], async ({ counters }) => {
          await context.eventually('it was retried beyond maxAttempts', () => counters.retried > 3);
          if (elsewhere.status === 'claimed') cache.confirm(elsewhere.token);
          await context.eventually('it is acknowledged', () => counters.acknowledged === 1);
        });
        assert.equal(runs, 0);
        await context.isEmpty(queue);
        await context.isEmpty(deadLetterQueue);
      },
    },
  ],
);
