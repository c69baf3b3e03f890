import { readFile } from 'node:fs/promises';
import { kafkaCapabilities } from '@melange/backend-kafka';
import { memoryCapabilities } from '@melange/backend-memory';
import { rabbitMqCapabilities } from '@melange/backend-rabbitmq';
import { sqsCapabilities } from '@melange/backend-sqs';
import { expect, test } from 'vitest';
import { capabilitiesTable } from '../src/report/capabilities-table.ts';

test('the README says of each backend what its capabilities say', async () => {
  const readme = await readFile(new URL('../../../README.md', import.meta.url), 'utf8');
  const table = capabilitiesTable({
    memory: memoryCapabilities,
    RabbitMQ: rabbitMqCapabilities,
    'SQS/SNS': sqsCapabilities,
    Kafka: kafkaCapabilities,
  });
  expect(readme.split('\n\n')).toContain(table);
});
