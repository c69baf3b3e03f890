export { KafkaBackend } from './kafka-backend.ts';
export { kafkaCapabilities } from './kafka-capabilities.ts';
export type {
  KafkaBackendOptions,
  KafkaCredentials,
  KafkaPassword,
  KafkaQueueOptions,
  KafkaSocketOptions,
} from './kafka-options.ts';
