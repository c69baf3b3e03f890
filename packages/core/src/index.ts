export {
  type Capabilities,
  type Delivery,
  isReplayable,
  type MessagingBackend,
  type PublishingBackend,
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
} from './contract/backend.ts';
export { BackendManager } from './contract/backend-manager.ts';
export {
  type BrowsableBackend,
  type BrowseCapabilities,
  type BrowseOptions,
  type BrowsePage,
  isBrowsable,
} from './contract/browse.ts';
export {
  type Claim,
  type ClaimToken,
  type DeduplicationCache,
  NullCache,
} from './contract/cache.ts';
export { type Clock, systemClock } from './contract/clock.ts';
export { consumeContext } from './contract/consume-context.ts';
export type { ConsumeContext, Consumer } from './contract/consumer.ts';
export type { DeadLetterOptions } from './contract/dead-letter.ts';
export { combineHealth, type Health, type HealthStatus } from './contract/health.ts';
export type {
  Around,
  ConsumeTrace,
  ErrorTrace,
  ProcessTrace,
  PublishTrace,
  ReceiveTrace,
  ReconnectEvent,
  SettleTrace,
  Surroundable,
} from './contract/instrumentation.ts';
export { type Logger, silentLogger, warningLogger } from './contract/logger.ts';
export type { MaybePromise } from './contract/maybe-promise.ts';
export {
  CorrelationHeader,
  DeadLetterHeader,
  type Message,
  type MessageContent,
  type MessageHeaders,
  WireHeader,
} from './contract/message.ts';
export type { Middleware, MiddlewareContext } from './contract/middleware.ts';
export type { Serializer } from './contract/serializer.ts';
export type { DeduplicationOptions } from './dispatch/claims.ts';
export { MessageDispatcher } from './dispatch/dispatcher.ts';
export type {
  ConsumeOptions,
  DispatcherCounters,
  ExceptionContext,
  LoopHealth,
  MessageDispatcherOptions,
  Ordering,
} from './dispatch/options.ts';
export type { Outcome } from './dispatch/outcome.ts';
export {
  type ExponentialBackoffOptions,
  exponentialBackoff,
  fixedDelays,
  type RetryPolicy,
} from './dispatch/retry.ts';
export { RetryLater } from './dispatch/retry-later.ts';
export { SimpleMessageDispatcher } from './dispatch/simple-dispatcher.ts';
export { consumer, type Handler, SingleDispatchConsumer } from './dispatch/single-dispatch-consumer.ts';
export type { Standing } from './dispatch/standing-keys.ts';
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
export {
  defineMessage,
  type Lift,
  lift,
  type MessageClass,
  type MessageInstance,
  type MessageType,
  type MessageTypeOptions,
  manifestOf,
  manifestsOf,
} from './messages/message-type.ts';
export { type InitQueueOptions, MessagingBackendFactory } from './messages/messaging-backend-factory.ts';
export {
  type SerializedValue,
  SerializerRegistry,
  type SerializerRegistryOptions,
} from './messages/registry.ts';
export type {
  SchemaInput,
  SchemaIssue,
  SchemaOutput,
  SchemaResult,
  StandardSchema,
} from './messages/schema.ts';
export type {
  BatchEnvelopeOptions,
  EnvelopeOptions,
  OutgoingMessage,
  Publishable,
} from './publish/envelope.ts';
export { type IdSource, type RandomBytes, uuidVersion7Source } from './publish/message-id.ts';
export { type LimitedPublisher, limitPublisher, type MessagePublisher } from './publish/message-publisher.ts';
export {
  type PublisherOptions,
  QueuePublisher,
  TopicPublisher,
} from './publish/publishers.ts';
