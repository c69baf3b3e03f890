import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import type { Contestant } from '../contestant.ts';
import { publishOrders } from '../melange.ts';

const contestant: Contestant = async (task, meter) => {
  const backend = new RabbitMqBackend({ url: task.address });
  await publishOrders(backend, task, meter);
  await backend.close();
};

export default contestant;
