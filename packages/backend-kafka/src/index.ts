export { KafkaBackend } from './backend.ts';
export { kafkaCapabilities } from './capabilities.ts';
export type {
  KafkaBackendOptions,
  KafkaCredentials,
  KafkaPassword,
  KafkaQueueOptions,
  KafkaSocketOptions,
} from './options.ts';
