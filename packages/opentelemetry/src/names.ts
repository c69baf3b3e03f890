/** Names of attributes of spans. Those of `messaging.` are the conventions', those of `melange.` Melange's own. */
export const Attribute = {
  system: 'messaging.system',
  operationName: 'messaging.operation.name',
  operationType: 'messaging.operation.type',
  /** Of version 1.24 of the conventions; written besides the present names when `messaging/dup` asks for it. */
  oldOperation: 'messaging.operation',
  destination: 'messaging.destination.name',
  consumerGroup: 'messaging.consumer.group.name',
  messageId: 'messaging.message.id',
  conversationId: 'messaging.message.conversation_id',
  batchCount: 'messaging.batch.message_count',
  errorType: 'error.type',
  destinationKind: 'melange.destination.kind',
  manifest: 'melange.manifest',
  consumer: 'melange.consumer',
  attempt: 'melange.attempt',
  redeliveries: 'melange.redeliveries',
  outcome: 'melange.outcome',
  outcomeCause: 'melange.outcome.cause',
  deadLetterReason: 'melange.dead_letter.reason',
  retryDelay: 'melange.retry.delay_ms',
  deduplicated: 'melange.deduplicated',
} as const;
