export { RabbitMqBackend } from './backend.ts';
export { rabbitMqCapabilities } from './capabilities.ts';
export type { RabbitMqBackendOptions, RabbitMqQueueOptions, RabbitMqQueueType } from './options.ts';
