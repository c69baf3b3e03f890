import { KafkaBackend } from '@melange/backend-kafka';
import { silentLogger } from '@melange/core';
import type { Contestant } from '../contestant.ts';
import { consumeOrders } from '../melange.ts';

const contestant: Contestant = async (task, meter) => {
  const backend = new KafkaBackend({ brokers: [task.address], logger: silentLogger });
  await consumeOrders(backend, task, meter, 'key');
  await backend.close();
};

export default contestant;
