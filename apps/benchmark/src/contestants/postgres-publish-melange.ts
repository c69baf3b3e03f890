import { PostgresBackend } from '@melange/backend-postgres';
import type { Contestant } from '../contestant.ts';
import { publishOrders } from '../melange.ts';
import { melangeSchema } from '../postgres-schema.ts';

const contestant: Contestant = async (task, meter) => {
  const backend = new PostgresBackend({ url: task.address, schema: melangeSchema });
  await publishOrders(backend, task, meter);
  await backend.close();
};

export default contestant;
