export { type BringUpOptions, bringUp, release, takeDown } from './bring-up.ts';
export { type AvailableBroker, type BrokerResult, type MissingBroker, printable } from './broker.ts';
export {
  type DebianRoot,
  debianRoot,
  ownRelease,
  packageVersion,
  versionIn,
  whyNoDebianRoot,
} from './debian-root.ts';
export { type PrivateKafka, type StartKafkaOptions, startKafka } from './kafka.ts';
export { currentVersion as kafkaVersion } from './kafka-node.ts';
export { type PrivateNats, startNats } from './nats.ts';
export { type PrivatePostgres, type StartPostgresOptions, startPostgres } from './postgres.ts';
export { type PrivateRedis, type StartRedisOptions, startRedis } from './private-redis.ts';
export { install, isInstalled } from './processes.ts';
export { type PrivateRabbitMq, type StartRabbitMqOptions, startRabbitMq } from './rabbitmq.ts';
export { type PrivateSqs, startSqs } from './sqs.ts';
export { fauxqsVersion } from './sqs-emulator.ts';
export { canStartHere } from './startable.ts';
