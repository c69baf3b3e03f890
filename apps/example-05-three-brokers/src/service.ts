import {
  type MessageClass,
  type MessageDispatcher,
  type MessagingBackend,
  QueuePublisher,
  type SerializerRegistry,
  SimpleMessageDispatcher,
  SingleDispatchConsumer,
} from '@melange/core';

/** A queue, and the broker that it is on. */
export interface Inbox {
  readonly backend: MessagingBackend;
  readonly queue: string;
}

/** Sends to a service, whatever its broker. */
export type Send = (inbox: Inbox, message: object) => Promise<void>;

export function sender(serializers: SerializerRegistry): Send {
  return async ({ backend, queue }, message) => {
    await new QueuePublisher({ backend, serializers }).publish(queue, message);
  };
}

/** A service that handles one type of message. It knows no broker: it is given one. */
export function service<Message extends object>(
  name: string,
  inbox: Inbox,
  serializers: SerializerRegistry,
  type: MessageClass<Message>,
  handle: (message: Message) => Promise<void>,
): MessageDispatcher {
  const consumer = new SingleDispatchConsumer(name).on(type, handle);
  return new SimpleMessageDispatcher(consumer, { backend: inbox.backend, serializers });
}
