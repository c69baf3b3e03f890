import assert from 'node:assert/strict';
import type { Delivery } from '@melange/core';
import { behaviours } from '../behaviour.ts';
import {
  type BackendBehaviour,
  type BackendContext,
  message,
  numbered,
  rejectsWithMelangeError,
} from './backend-context.ts';
import { acknowledge, arrivesAtLeastOnce, needsFaults } from './breaking.ts';
import { publishing, tenThousand } from './ten-thousand.ts';

/** The broker is away for a while, or restarts; nothing is lost, nothing hangs, and work goes on by itself. */
export const outages: readonly BackendBehaviour[] = behaviours<BackendContext>('faults', [
  {
    id: 'unreachable-for-a-while',
    title: 'a broker that refuses connections for a while: publishing waits, the subscription comes back',
    requires: needsFaults,
    async run(context) {
      const queue = await context.queue();
      const { backend, proxy } = await context.throughProxy();
      const receiver = await context.receive(queue, { handle: acknowledge }, backend);
      await backend.publishToQueue(queue, [message('connects')]);
      await receiver.take(1);
      await proxy.refuse();
      const sent = numbered(20);
      const published = Promise.all(sent.map((one) => backend.publishToQueue(queue, [one], publishing)));
      published.catch(() => {});
      await context.eventually(
        'it is not healthy',
        async () => (await backend.health()).status !== 'healthy',
      );
      await proxy.accept();
      await context.soon(published, 'publishing after the broker came back');
      await arrivesAtLeastOnce(
        receiver,
        sent.map(({ id }) => id),
      );
      await context.eventually(
        'it is healthy again',
        async () => (await backend.health()).status === 'healthy',
      );
    },
  },
  {
    id: 'unreachable-from-the-start',
    title:
      'a broker that cannot be reached: subscribing and publishing reject in bounded time, health says so',
    requires: needsFaults,
    async run(context) {
      const queue = await context.queue();
      const { backend, proxy } = await context.throughProxy();
      await proxy.refuse();
      const published = backend.publishToQueue(queue, numbered(1), { deadlineMs: 500 });
      await context.soon(rejectsWithMelangeError(published), 'publishing');
      const subscribed = backend.subscribe(queue, { maxInFlight: 1 }, () => {});
      await context.soon(rejectsWithMelangeError(subscribed), 'subscribing');
      const health = await context.soon(backend.health(), 'health');
      assert.notEqual(health.status, 'healthy');
      await proxy.accept();
      await context.soon(backend.publishToQueue(queue, numbered(1), publishing), 'publishing later');
    },
  },
  {
    id: 'close-while-unreachable',
    title: 'a backend closes while its broker cannot be reached',
    requires: needsFaults,
    async run(context) {
      const queue = await context.queue();
      const { backend, proxy } = await context.throughProxy();
      await context.backend.publishToQueue(queue, numbered(2));
      await (await context.receive(queue, {}, backend)).take(2);
      await proxy.refuse();
      await context.soon(backend.close(), 'closing');
      await (await context.receive(queue)).take(2);
    },
  },
  {
    id: 'broker-restart',
    title: 'a restart of the broker loses nothing; the subscription goes on',
    timeoutMs: 90_000,
    requires: (context) => needsFaults(context) ?? needsRestart(context),
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(20);
      await context.backend.publishToQueue(queue, sent);
      const receiver = await context.receive(queue, { maxInFlight: 5 });
      await receiver.take(5);
      await context.faults?.restart?.();
      for (const delivery of receiver.deliveries) await delivery.acknowledge();
      const settled = new Set<Delivery>(receiver.deliveries);
      await context.eventually('every message came', async () => {
        for (const delivery of receiver.deliveries) {
          if (!settled.has(delivery)) await delivery.acknowledge();
          settled.add(delivery);
        }
        return new Set(receiver.ids).size === sent.length;
      });
    },
  },
  {
    id: 'ten-thousand',
    title:
      '10,000 messages through five cuts and a restart: none lost, every duplicate recognisable by its id',
    timeoutMs: 120_000,
    requires: needsFaults,
    run: tenThousand,
  },
]);

function needsRestart(context: BackendContext): string | undefined {
  return context.faults?.restart === undefined
    ? 'the suite was given no way to restart the broker'
    : undefined;
}
