export type { ReceivedElsewhere, ReceivedMessage, SqsReceipt } from './received-elsewhere.ts';
export { SqsBackend, sqsCapabilities } from './sqs-backend.ts';
export type {
  AwsClientSettings,
  SqsBackendOptions,
  SqsQueueOptions,
  SqsWireFormat,
} from './sqs-options.ts';
