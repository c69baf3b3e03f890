import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import type { Contestant } from '../contestant.ts';
import { consumeOrders } from '../melange.ts';

const contestant: Contestant = async (task, meter) => {
  const backend = new RabbitMqBackend({ url: task.address });
  await consumeOrders(backend, task, meter);
  await backend.close();
};

export default contestant;
