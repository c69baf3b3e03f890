export type {
  KafkaBatchResponse,
  KafkaEvent,
  KafkaEventRecord,
  KafkaItemIdentifier,
} from './kafka-event.ts';
export { kafkaHandler } from './kafka-handler.ts';
