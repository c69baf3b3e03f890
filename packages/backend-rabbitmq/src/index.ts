export { RabbitMqBackend, rabbitMqCapabilities } from './rabbitmq-backend.ts';
export type { RabbitMqBackendOptions, RabbitMqQueueOptions, RabbitMqQueueType } from './rabbitmq-options.ts';
