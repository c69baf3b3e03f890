import { RedisStreamsBackend } from '@melange/backend-redis-streams';
import type { Contestant } from '../contestant.ts';
import { publishOrders } from '../melange.ts';

const contestant: Contestant = async (task, meter) => {
  const backend = new RedisStreamsBackend({ url: task.address });
  await publishOrders(backend, task, meter);
  await backend.close();
};

export default contestant;
