export { SqsBackend, sqsCapabilities } from './backend.ts';
export type { ReceivedElsewhere, ReceivedMessage, SqsReceipt } from './consume/received-elsewhere.ts';
export type {
  AwsClientSettings,
  SqsBackendOptions,
  SqsQueueOptions,
  SqsWireFormat,
} from './options.ts';
