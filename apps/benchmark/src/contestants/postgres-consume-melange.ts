import { PostgresBackend } from '@melange/backend-postgres';
import type { Contestant } from '../contestant.ts';
import { consumeOrders } from '../melange.ts';
import { melangeSchema } from '../postgres-schema.ts';

const contestant: Contestant = async (task, meter) => {
  const backend = new PostgresBackend({ url: task.address, schema: melangeSchema });
  await consumeOrders(backend, task, meter);
  await backend.close();
};

export default contestant;
