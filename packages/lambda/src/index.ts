export { lambdaHandler } from './lambda-handler.ts';
export type { LambdaHandlerOptions } from './options.ts';
export type { LambdaConsumers, LambdaService, QueueNameOf } from './source.ts';
export type {
  SqsBatchResponse,
  SqsEvent,
  SqsEventAttribute,
  SqsEventRecord,
  SqsEventSystemAttributes,
} from './sqs-event.ts';
export type { InvocationContext } from './time-limit.ts';
