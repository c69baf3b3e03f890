export type {
  Commit,
  GroupListener,
  GroupMember,
  KafkaProducer,
  OutgoingItem,
  PartitionRange,
} from './contract.ts';
export { typeOf } from './errors.ts';
export { KafkaClient } from './kafkajs/client.ts';
