export { KafkaBackend, kafkaCapabilities } from './kafka-backend.ts';
export type { KafkaBackendOptions, KafkaQueueOptions, KafkaSocketOptions } from './kafka-options.ts';
