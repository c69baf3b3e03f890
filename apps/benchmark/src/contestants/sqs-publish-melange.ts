import { SqsBackend } from '@melange/backend-sqs';
import type { Contestant } from '../contestant.ts';
import { publishOrders } from '../melange.ts';
import { sqsSettings } from '../sqs-client.ts';

const contestant: Contestant = async (task, meter) => {
  const backend = new SqsBackend({ client: sqsSettings(task.address) });
  await publishOrders(backend, task, meter);
  await backend.close();
};

export default contestant;
