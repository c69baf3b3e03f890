import { RedisStreamsBackend } from '@melange/backend-redis-streams';
import type { Contestant } from '../contestant.ts';
import { consumeOrders } from '../melange.ts';

const contestant: Contestant = async (task, meter) => {
  const backend = new RedisStreamsBackend({ url: task.address });
  await consumeOrders(backend, task, meter);
  await backend.close();
};

export default contestant;
