export { bringUp, takeDown } from './bring-up.ts';
export { type BrokerResult, printable } from './broker.ts';
export { type PrivateRabbitMq, restartRabbitMq, startPrivateRabbitMq } from './rabbitmq.ts';
