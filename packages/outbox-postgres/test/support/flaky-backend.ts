import { MelangeError, type Message, type MessagingBackend, PublishError } from '@melange/core';

type Publishing = Pick<MessagingBackend, 'publishToQueue' | 'publishToTopic'>;

/** A backend that fails for some messages, and takes the others of a call: as a broker does that refuses one of a batch. */
export function failingFor(
  backend: MessagingBackend,
  errorOf: (message: Message, queue: string) => unknown,
): MessagingBackend {
  const publish =
    (name: keyof Publishing) =>
    async (destination: string, messages: readonly Message[]): Promise<void> => {
      const failures: { messageId: string; error: unknown }[] = [];
      const good: Message[] = [];
      for (const message of messages) {
        const error = errorOf(message, destination);
        if (error === undefined) good.push(message);
        else failures.push({ messageId: message.id, error });
      }
      await backend[name](destination, good);
      if (failures.length > 0) throw new PublishError(destination, failures);
    };
  return Object.assign(Object.create(backend) as MessagingBackend, {
    publishToQueue: publish('publishToQueue'),
    publishToTopic: publish('publishToTopic'),
  });
}

/** As of a broker that says no for the moment. */
export function transient(): MelangeError {
  return new MelangeError('BROKER_UNAVAILABLE', 'the broker said no');
}
