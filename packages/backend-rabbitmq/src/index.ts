export { RabbitMqBackend } from './rabbitmq-backend.ts';
export { rabbitMqCapabilities } from './rabbitmq-capabilities.ts';
export type { RabbitMqBackendOptions, RabbitMqQueueOptions, RabbitMqQueueType } from './rabbitmq-options.ts';
