import { Kafka, logLevel } from 'kafkajs';

/** kafkajs as it is; only its log is silent. */
export function openKafka(address: string): Kafka {
  const { host } = new URL(address);
  return new Kafka({ brokers: [host], clientId: 'bench', logLevel: logLevel.NOTHING });
}
