export { SqsBackend, type SqsMethods } from './backend.ts';
export { sqsCapabilities } from './capabilities.ts';
export type { ReceivedElsewhere, ReceivedMessage, SqsReceipt } from './consume/received-elsewhere.ts';
export type { AwsClientSettings, SqsBackendOptions, SqsQueueOptions, SqsWireFormat } from './options.ts';
