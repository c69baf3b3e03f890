import { describe, expect, test } from 'vitest';
import {
  backendAt,
  eventually,
  isMissing,
  numbered,
  receive,
  sharedUrl,
  uniqueName,
} from './support/scene.ts';

const url = sharedUrl as string;

describe.skipIf(isMissing)('a run until the queue is empty (skipped without SQS_URL)', () => {
  test.each(['found by a receive', 'known by a deletion of this process'])(
    'a run until the queue is empty ends in an error when the queue is deleted, and leaves nothing: %s',
    async (how) => {
      const [backend, other] = [backendAt(url, { emptyAfterSeconds: 0 }), backendAt(url)];
      const queue = uniqueName();
      await backend.declareQueue(queue);
      await backend.publishToQueue(queue, numbered(1));
      const { deliveries, subscription } = await receive(backend, queue, {
        untilEmpty: true,
        maxInFlight: 1,
      });
      await eventually(() => expect(deliveries).toHaveLength(1));
      await (how === 'found by a receive' ? other : backend).deleteQueue(queue);
      // Nothing is asked for before there is room.
      await deliveries[0]?.acknowledge();
      await expect(subscription.ended).rejects.toMatchObject({
        code: 'QUEUE_NOT_FOUND',
        message: expect.stringContaining(queue),
      });
      await subscription.close();
      expect(await backend.health()).toEqual({ status: 'healthy' });
    },
  );
});
