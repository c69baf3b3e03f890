export { KafkaBackend, type KafkaBackendClass, type KafkaMethods, kafkaBackendOn } from './backend.ts';
export { kafkaCapabilities } from './capabilities.ts';
export type { ClientWatch, MakeKafkaClient } from './client/index.ts';
export type {
  KafkaBackendOptions,
  KafkaCredentials,
  KafkaPassword,
  KafkaQueueOptions,
  KafkaSettings,
  KafkaSocketOptions,
} from './options.ts';
