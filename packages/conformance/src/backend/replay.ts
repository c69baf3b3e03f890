import assert from 'node:assert/strict';
import { isReplayable, type Message, type ReplayableBackend } from '@melange/core';
import { behaviours, pause } from '../behaviour.ts';
import {
  type BackendBehaviour,
  type BackendContext,
  message,
  needsCapability,
  numbered,
  rejectsWith,
  sortedIds,
} from './backend-context.ts';

const needsReplay = needsCapability('replay', 'the broker forgets what was settled');

/** Queues that can be read again give again what was settled, and skip nothing. */
export const replay: readonly BackendBehaviour[] = behaviours<BackendContext>('replay', [
  {
    id: 'earliest',
    title: 'a queue rewound to the earliest message gives all of it again, in order, as first attempts',
    requires: needsReplay,
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(20, { key: 'one', headers: { trace: 'abc' } });
      await context.backend.publishToQueue(queue, sent);
      await settleAll(context, queue, 20);
      await replayable(context).rewindQueue(queue, { to: 'earliest' });
      const again = await context.receive(queue, { handle: (delivery) => delivery.acknowledge() });
      const deliveries = await again.take(20);
      assert.deepEqual(
        deliveries.map((delivery) => delivery.message),
        sent,
      );
      for (const { attempt } of deliveries) assert.equal(attempt, 1);
      await again.subscription.close();
      await context.isEmpty(queue);
    },
  },
  {
    id: 'time',
    title: 'a queue rewound to a time gives again what it received from then on, through its topics too',
    requires: needsReplay,
    async run(context) {
      const topic = await context.topic();
      const queue = await context.queue({ topics: [topic] });
      await context.backend.publishToQueue(queue, numbered(3));
      // The clocks of broker and suite agree only so far.
      await pause(50);
      const time = new Date();
      await pause(50);
      const later = [message('direct'), message('through the topic')] as const;
      await context.backend.publishToQueue(queue, [later[0]]);
      await context.backend.publishToTopic(topic, [later[1]]);
      await settleAll(context, queue, 5);
      await replayable(context).rewindQueue(queue, { to: time });
      await comesAgain(context, queue, later);
    },
  },
  {
    id: 'skips-nothing',
    title: 'a queue rewound to a time after its unsettled messages still gives them',
    requires: needsReplay,
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(5);
      await context.backend.publishToQueue(queue, sent);
      await pause(50);
      await replayable(context).rewindQueue(queue, { to: new Date() });
      await comesAgain(context, queue, sent);
    },
  },
  {
    id: 'in-use',
    title: 'a queue that is subscribed to is not rewound: QUEUE_IN_USE, and nothing changes',
    requires: needsReplay,
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(3));
      const receiver = await context.receive(queue, { handle: (delivery) => delivery.acknowledge() });
      await receiver.take(3);
      await rejectsWith('QUEUE_IN_USE', replayable(context).rewindQueue(queue, { to: 'earliest' }));
      const next = message('next');
      await context.backend.publishToQueue(queue, [next]);
      assert.equal((await receiver.next()).message.id, next.id);
      await receiver.subscription.close();
      await context.isEmpty(queue);
    },
  },
  {
    id: 'missing',
    title: 'rewinding a queue that does not exist rejects with QUEUE_NOT_FOUND',
    requires: needsReplay,
    async run(context) {
      const rewinding = replayable(context).rewindQueue(context.queueName(), { to: 'earliest' });
      await rejectsWith('QUEUE_NOT_FOUND', rewinding);
    },
  },
]);

function replayable({ backend }: BackendContext): ReplayableBackend {
  assert.ok(isReplayable(backend), 'the backend itself declares what the suite was told');
  return backend;
}

async function settleAll(context: BackendContext, queue: string, count: number): Promise<void> {
  const receiver = await context.receive(queue, { handle: (delivery) => delivery.acknowledge() });
  await receiver.take(count);
  await receiver.subscription.close();
}

/** These and no others. */
async function comesAgain(context: BackendContext, queue: string, sent: readonly Message[]): Promise<void> {
  const receiver = await context.receive(queue, { handle: (delivery) => delivery.acknowledge() });
  await receiver.take(sent.length);
  await receiver.subscription.close();
  await context.isEmpty(queue);
  assert.deepEqual([...receiver.ids].sort(), sortedIds(sent));
}
