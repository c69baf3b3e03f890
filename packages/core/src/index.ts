export {
  type Capabilities,
  type Delivery,
  isReplayable,
  type MessagingBackend,
  type PublishOptions,
  type PublishToQueueOptions,
  type QueueDescription,
  type QueueOptions,
  type ReplayableBackend,
  type ReplayCapabilities,
  type ReplayPosition,
  type RetryCause,
  type RetryOptions,
  type SubscribeOptions,
  type Subscription,
} from './backend.ts';
export { BackendManager } from './backend-manager.ts';
export type { DeduplicationOptions } from './claim-keeper.ts';
export { type Clock, systemClock } from './clock.ts';
export { consumeContext, correlationIdOf } from './consume-context.ts';
export type { Ordering } from './consume-loop.ts';
export type { ConsumeContext, Consumer } from './consumer.ts';
export { type DeadLetterOptions, deadLetterCopy } from './dead-letter.ts';
export {
  type Claim,
  type ClaimToken,
  type DeduplicationCache,
  deduplicationKey,
  type MaybePromise,
  NullCache,
} from './deduplication-cache.ts';
export {
  type AbortReason,
  BrokerUnavailableError,
  DeliveryAbortedError,
  MelangeError,
  type MelangeErrorCode,
  MessageTooLargeError,
  PublishError,
  type PublishFailure,
  QueueNotFoundError,
  Reject,
  SerializationError,
  TopicNotFoundError,
  TopologyConflictError,
} from './errors.ts';
export { combineHealth, type Health, type HealthStatus } from './health.ts';
export type { ProcessTrace, PublishTrace, ReceiveTrace, SettleTrace } from './instrumentation.ts';
export { type Logger, silentLogger, unfailingLogger, warningLogger } from './logger.ts';
export {
  CorrelationHeader,
  DeadLetterHeader,
  isReservedHeader,
  type Message,
  type MessageContent,
  type MessageHeaders,
  WireHeader,
  wireNumber,
} from './message.ts';
export { MessageDispatcher } from './message-dispatcher.ts';
export type {
  ConsumeOptions,
  DispatcherCounters,
  ExceptionContext,
  LoopHealth,
  MessageDispatcherOptions,
} from './message-dispatcher-options.ts';
export { type IdSource, type RandomBytes, uuidVersion7Source } from './message-id.ts';
export { type LimitedPublisher, limitPublisher, type MessagePublisher } from './message-publisher.ts';
export {
  defineMessage,
  type Lift,
  lift,
  liftsOf,
  type MessageClass,
  type MessageInstance,
  type MessageType,
  type MessageTypeOptions,
  manifestOf,
  manifestsOf,
  schemaOf,
} from './message-type.ts';
export { MessageTypes } from './message-types.ts';
export { type InitQueueOptions, MessagingBackendFactory } from './messaging-backend-factory.ts';
export type { Middleware, MiddlewareContext } from './middleware.ts';
export type { Outcome } from './outcome.ts';
export { pathText } from './path-text.ts';
export {
  type EnvelopeOptions,
  type OutgoingMessage,
  type Publishable,
  type PublisherOptions,
  QueuePublisher,
  TopicPublisher,
} from './publisher.ts';
export { RetryLater } from './retry-later.ts';
export {
  type ExponentialBackoffOptions,
  exponentialBackoff,
  fixedDelays,
  type RetryPolicy,
} from './retry-policy.ts';
export type { Serializer } from './serializer.ts';
export {
  type SerializedValue,
  SerializerRegistry,
  type SerializerRegistryOptions,
} from './serializer-registry.ts';
export { shortened } from './shortened.ts';
export { SimpleMessageDispatcher } from './simple-message-dispatcher.ts';
export { consumer, type Handler, SingleDispatchConsumer } from './single-dispatch-consumer.ts';
export { Slots, type Slotted } from './slots.ts';
export type {
  SchemaInput,
  SchemaIssue,
  SchemaOutput,
  SchemaResult,
  StandardSchema,
} from './standard-schema.ts';
export type { Standing } from './standing-keys.ts';
