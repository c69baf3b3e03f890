export { defineMessage, Reject, RetryLater } from '@melange/core';
export { BatchConsumer, type BatchContext, type BatchHandler } from './batch/batch-consumer.ts';
export type { BatchAnswer, BatchOptions, BatchResult } from './batch/batcher.ts';
export type {
  BoundSend,
  BoundTopic,
  QueueDeclaration,
  SendDeclaration,
  ServiceBackends,
  ServiceDeclaration,
  TopicDeclaration,
} from './declaration.ts';
export { defineService } from './define-service.ts';
export { type Endpoints, serveEndpoints } from './endpoints.ts';
export type {
  AnyService,
  HandlerContext,
  Metrics,
  RunOptions,
  Service,
  ServiceBatchContext,
  ServiceBatchHandler,
  ServiceHandler,
  ServiceHealth,
  ServicePublishing,
  StartOptions,
  StopOptions,
} from './service.ts';
export type { DestinationPlan, QueuePlan, ServicePlan } from './service-plan.ts';
export type {
  Checked,
  Handling,
  InstanceOf,
  ManifestOf,
  Readable,
  SendShape,
  ServiceShape,
  ShapeOf,
  Unhandled,
} from './shape.ts';
export type { Duration, DurationUnit } from './testing/duration.ts';
export type {
  DeadLettered,
  Published,
  ReportedError,
  ServiceTest,
  ServiceTestOptions,
} from './testing/service-test.ts';
