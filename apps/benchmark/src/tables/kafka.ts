import { kafkaStage } from '../stages/kafka.ts';
import type { Table } from '../table.ts';

const partitions = 4;

const contenders = (handlerMs: number): Table['contenders'] => {
  const parameters = { partitions, handlerMs };
  return [
    { name: 'kafkajs eachMessage', file: 'kafka-consume-naive', parameters },
    { name: 'kafkajs eachBatch by hand', file: 'kafka-consume-batched', parameters },
    { name: 'Melange', file: 'kafka-consume-melange', parameters },
  ];
};

export const kafkaConsume: Table = {
  name: 'kafka-consume',
  title: 'Kafka: consume with commits',
  about: `${partitions} partitions, 1,000 keys; kafkajs with \`partitionsConsumedConcurrently: ${partitions}\`. Melange: \`concurrency: 100\`, \`ordering: 'key'\`, all else default.`,
  broker: 'kafka',
  messages: 100_000,
  warmUp: 10_000,
  inFlight: 100,
  contenders: contenders(0),
  goals: [{ contender: 'Melange', figure: 'rate', bound: 'at least', value: 1 }],
  libraries: ['kafkajs'],
  stage: kafkaStage,
};

export const kafkaSlowHandler: Table = {
  name: 'kafka-slow-handler',
  title: 'Kafka: consume with a handler of 5 ms',
  about: `As the other Kafka table, with a handler that waits for 5 ms. \`eachMessage\` handles one message at a time of each partition.`,
  broker: 'kafka',
  messages: 3_000,
  warmUp: 500,
  inFlight: 100,
  contenders: contenders(5),
  goals: [{ contender: 'Melange', figure: 'rate', bound: 'at least', value: 8 }],
  libraries: ['kafkajs'],
  stage: kafkaStage,
};
