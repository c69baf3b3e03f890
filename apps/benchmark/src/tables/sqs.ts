import { sqsStage } from '../stages/sqs.ts';
import type { Table } from '../table.ts';

export const sqsPublish: Table = {
  name: 'sqs-publish',
  title: 'SQS: publish',
  about:
    'Single `publish` calls to a standard queue, 100 in flight, each waited for. Each contestant has published 20,000 before, so that V8 has compiled the way of a batch, too. Melange: `QueuePublisher.publish`, all default (`publishLingerMs: 3`).',
  broker: 'sqs',
  messages: 15_000,
  warmUp: 20_000,
  inFlight: 100,
  contenders: [
    { name: 'AWS SDK', file: 'sqs-publish-naive' },
    { name: 'AWS SDK, batched by hand', file: 'sqs-publish-batched' },
    { name: 'Melange', file: 'sqs-publish-melange' },
  ],
  goals: [
    { contender: 'Melange', figure: 'rate', bound: 'at least', value: 8 },
    { contender: 'Melange', figure: 'requests', bound: 'at most', value: 105 },
  ],
  countsRequests: true,
  libraries: ['@aws-sdk/client-sqs'],
  stage: (address) => sqsStage(address, true),
};

export const sqsReceive: Table = {
  name: 'sqs-receive',
  title: 'SQS: receive, handle, delete',
  about:
    'A standard queue, 100 in flight. Each contestant has processed 8,000 messages before. Melange: `concurrency: 100`, all else default (`acknowledgeLingerMs: 20`).',
  broker: 'sqs',
  messages: 10_000,
  warmUp: 8_000,
  inFlight: 100,
  contenders: [
    { name: 'AWS SDK', file: 'sqs-receive-naive' },
    { name: 'AWS SDK, batched by hand', file: 'sqs-receive-batched' },
    { name: 'Melange', file: 'sqs-receive-melange' },
  ],
  goals: [
    { contender: 'Melange', figure: 'rate', bound: 'at least', value: 2.6 },
    { contender: 'Melange', figure: 'requests', bound: 'at most', value: 210 },
  ],
  countsRequests: true,
  libraries: ['@aws-sdk/client-sqs'],
  stage: (address) => sqsStage(address, false),
};
