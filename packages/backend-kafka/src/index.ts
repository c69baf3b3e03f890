export { KafkaBackend, kafkaCapabilities } from './kafka-backend.ts';
export type {
  KafkaBackendOptions,
  KafkaCredentials,
  KafkaPassword,
  KafkaQueueOptions,
  KafkaSocketOptions,
} from './kafka-options.ts';
